//! What people see. Progress goes to standard error, results to standard output; a closed pipe stops nothing.

use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

/// The longest text of the other side that is shown, in characters.
const LONGEST_TEXT: usize = 500;

/// Where the demo speaks.
pub(super) struct Console {
    out: Mutex<Box<dyn Write + Send>>,
    err: Mutex<Box<dyn Write + Send>>,
}

impl Console {
    /// The terminal.
    pub(super) fn new() -> Self {
        Self::over(io::stdout(), io::stderr())
    }

    /// Any two streams.
    pub(super) fn over(out: impl Write + Send + 'static, err: impl Write + Send + 'static) -> Self {
        Self { out: Mutex::new(Box::new(out)), err: Mutex::new(Box::new(err)) }
    }

    /// A result.
    pub(super) fn show(&self, text: &str) {
        write(&self.out, text);
    }

    /// Progress, below the step that it belongs to.
    pub(super) fn note(&self, text: &str) {
        write(&self.err, &format!("demo:         {text}"));
    }

    /// A step.
    pub(super) fn head(&self, text: &str) {
        write(&self.err, &format!("demo: {text}"));
    }
}

fn write(stream: &Mutex<Box<dyn Write + Send>>, text: &str) {
    let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
    // Nobody looks any more: the demo goes on, since its exit code still tells.
    let _closed = writeln!(stream, "{text}").and_then(|()| stream.flush());
}

/// Text of the other side without what could disturb a terminal, cut to 500 characters.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_disturb_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\r\nc"), "a[31mbc");
        assert_eq!(plain(&"x".repeat(1000)).len(), LONGEST_TEXT);
    }
}
