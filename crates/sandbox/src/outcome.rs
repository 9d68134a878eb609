//! How a run ended. A tool's end is never an error of the sandbox.

use std::time::Duration;

/// How a run ended, and what is known of its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What ended it.
    pub end: End,
    /// Time from the creation of its first process to the end of its last one.
    pub wall: Duration,
    /// Bytes of standard output that were, or still can be, read; at most the limit.
    pub output_bytes: u64,
    /// Standard output was longer than its limit: what was read is not all.
    pub truncated: bool,
    /// The end of standard error, for the log: invalid UTF-8 and control characters are replaced.
    pub stderr: String,
    /// Standard error was longer than what is kept of it.
    pub stderr_truncated: bool,
    /// Which limit of its control group the run came to; nothing without one.
    pub exceeded: Option<Exceeded>,
    /// Packets to whom the run may not speak to, dropped on their way; nothing where nobody counts (level L2).
    pub dropped_packets: Option<u64>,
}

/// What all processes of a run together had too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// Memory: the kernel ended the run.
    Memory,
    /// Processes: the kernel refused one.
    Processes,
}

/// What ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The tool exited with that code.
    Exited(i32),
    /// A signal ended the tool, or the sandbox around it. (bwrap reports the signal `n` as the code `128 + n`; codes
    /// of that range are taken for signals.)
    Signaled(i32),
    /// The wall clock ran out.
    TimedOut,
    /// The tool wrote more than it may.
    OutputLimit,
    /// Somebody asked for it, with that reason.
    Killed(&'static str),
    /// What connected it ended before it did: it may have taken silence for an answer.
    NetworkLost,
    /// bwrap could not set the sandbox up; the tool never ran. Standard error says why.
    NotStarted,
}

impl End {
    /// The end that an exit code of bwrap stands for.
    pub(crate) fn from_code(code: i32) -> Self {
        match code {
            129..=192 => Self::Signaled(code - 128),
            _ => Self::Exited(code),
        }
    }
}

/// Text of a tool as a log may show it: no control character but the line feed and the tab.
pub(crate) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(
            |letter| {
                if letter.is_control() && letter != '\n' && letter != '\t' {
                    char::REPLACEMENT_CHARACTER
                } else {
                    letter
                }
            },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_beyond_128_are_signals() {
        assert_eq!(End::from_code(0), End::Exited(0));
        assert_eq!(End::from_code(128), End::Exited(128));
        assert_eq!(End::from_code(137), End::Signaled(9));
        assert_eq!(End::from_code(255), End::Exited(255));
    }

    #[test]
    fn a_log_never_sees_an_escape_sequence() {
        assert_eq!(printable(b"a\x1b]0;owned\x07\nb\xff\r\tc"), "a\u{fffd}]0;owned\u{fffd}\nb\u{fffd}\u{fffd}\tc");
    }
}
