//! Why the demo failed, and at which step.

use std::{io, path::PathBuf, time::Duration};

use super::{signature::SignatureError, step::Step, target::TargetError};

/// The demo failed.
#[derive(Debug, thiserror::Error)]
#[error("the demo failed at the step \"{step}\"")]
pub struct DemoError {
    /// Where.
    pub step: Step,
    /// Why.
    #[source]
    pub cause: Failure,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The target did not start.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The receiver of webhooks did not start.
    #[error("the webhook receiver could not listen")]
    Receiver(#[source] io::Error),
    /// The operator's part did not work.
    #[error(transparent)]
    Administration(Box<crate::CommandError>),
    /// The address of the API is none.
    #[error("expected an address of the API such as http://127.0.0.1:8080, found `{0}`")]
    Address(String),
    /// There was no answer.
    #[error("{call} got no answer")]
    NoAnswer {
        /// The method and the path.
        call: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The API refused.
    #[error("{call} was answered {status}: {problem}")]
    Refused {
        /// The method and the path.
        call: String,
        /// The HTTP status.
        status: u16,
        /// What the answer said, bounded.
        problem: String,
    },
    /// The API answered, but not in the promised shape.
    #[error("{call} was not answered in the promised shape")]
    Shape {
        /// The method and the path.
        call: String,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// The answer is longer than the demo reads.
    #[error("expected an answer of at most {limit_bytes} bytes to {call}")]
    TooLong {
        /// The method and the path.
        call: String,
        /// The limit.
        limit_bytes: usize,
    },
    /// The scan ended otherwise than hoped for.
    #[error("expected the scan to complete, it is {status}: {message}")]
    Scan {
        /// Its last state.
        status: String,
        /// What the API says of it, bounded.
        message: String,
    },
    /// Two things that should agree do not.
    #[error("expected {expected}, found {found}")]
    Unexpected {
        /// What should be.
        expected: String,
        /// What is.
        found: String,
    },
    /// A webhook that should have come did not.
    #[error("expected a delivery of {event} within {} s; {deliveries}", within.as_secs())]
    NoDelivery {
        /// What should have been told.
        event: &'static str,
        /// How long was waited.
        within: Duration,
        /// What the API says of its deliveries, bounded.
        deliveries: String,
    },
    /// A delivery is not genuine.
    #[error("the delivery {id} cannot be trusted")]
    Signature {
        /// Its `webhook-id`, bounded.
        id: String,
        /// Why.
        source: SignatureError,
    },
    /// A delivery is genuine but not in the promised shape.
    #[error("the delivery {id} is not in the promised shape")]
    Payload {
        /// Its `webhook-id`, bounded.
        id: String,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// A report cannot be kept.
    #[error("could not write {path}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It took too long.
    #[error("expected the demo to end within {} s", .0.as_secs())]
    Deadline(Duration),
}
