//! The steps of the demo, so that a failure can name the one at which it happened.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use super::console::Console;

macro_rules! steps {
    ($($name:ident = $text:literal,)*) => {
        /// A step of the demo.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Step { $(#[doc = $text] $name,)* }

        impl Step {
            const ALL: &'static [Self] = &[$(Self::$name),*];

            const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

steps! {
    StartTarget = "start the demo target",
    StartReceiver = "start the webhook receiver",
    WaitForApi = "wait for the API",
    Register = "register an organization",
    LogIn = "log in",
    Administer = "give the organization a plan, as its operator",
    CreateKey = "create an API key",
    CreateWebhook = "create a webhook",
    CreateScan = "ask for a scan",
    FollowScan = "follow the scan",
    FetchResult = "fetch the result",
    VerifyWebhook = "verify the webhook's signature",
    AskReports = "ask for PDF, HTML and JSON reports",
    FetchReports = "fetch the reports",
    VerifyReports = "verify that the webhook told of the reports",
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Which step it is.
pub(super) struct Progress<'c> {
    console: &'c Console,
    now: Mutex<Step>,
}

impl<'c> Progress<'c> {
    /// Before the first step.
    pub(super) const fn new(console: &'c Console) -> Self {
        Self { console, now: Mutex::new(Step::StartTarget) }
    }

    /// Goes on to a step, and says so.
    pub(super) fn begin(&self, step: Step) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = step;
        let place = Step::ALL.iter().take_while(|one| **one <= step).count();
        self.console.head(&format!("[{place:>2}/{}] {step}", Step::ALL.len()));
    }

    /// The step that was begun last.
    pub(super) fn now(&self) -> Step {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
