//! How a run ended, in the words of whoever owns the failure: the tool, its target, a limit of ours, or the worker. Pure.
//!
//! | ending | gap | tried again |
//! |---|---|---|
//! | finished, finished with findings | none | |
//! | incomplete: the tool's own report says so or breaks off | the parser's | where another try may help |
//! | failed: an error of the tool, or a fault of its own that ended it (a crash) | `tool_failed` | yes |
//! | network lost: what connected the run ended before it | `tool_failed` | yes |
//! | timed out | `timed_out` | no |
//! | over a limit: memory, processor time, processes, scratch, or killed for a reason unknown | `limit_exceeded` | yes |
//! | output truncated | `output_truncated` | no |
//! | interrupted: the worker stops | | by somebody else |
//! | not ours: the scan was stopped, or another worker has the task | | |

use picket_domain::Gap;
use picket_sandbox::{End, Exceeded, Outcome};
use picket_scanners::Parsed;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The tool did its work and found nothing.
    Finished,
    /// The tool did its work and found something.
    FinishedWithFindings,
    /// The tool ended well, and its report does not tell everything.
    Incomplete(Gap),
    /// The tool ended with an error of its own, or never began.
    Failed,
    /// Its wall clock ran out.
    TimedOut,
    /// It came to a limit of its sandbox.
    OverLimit(Limit),
    /// What connected it ended before it did: what it found is not all.
    NetworkLost,
    /// It wrote more than it may.
    OutputTruncated,
    /// The worker stops.
    Interrupted,
    /// Its task is somebody else's, or nobody's.
    NotOurs,
}

/// A limit that a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Memory,
    Processor,
    Processes,
    Scratch,
    /// A signal ended it, and nothing says why.
    Unknown,
}

/// What a program says of itself when the kernel refuses it more (the texts of strerror(3)), and the limit that means.
/// Only the reason of a failure is guessed from it, never whether there was one.
const COMPLAINTS: [(&str, Limit); 8] = [
    ("Cannot allocate memory", Limit::Memory),
    ("Out of memory", Limit::Memory),
    ("out of memory", Limit::Memory),
    ("MemoryError", Limit::Memory),
    ("No space left on device", Limit::Scratch),
    ("File too large", Limit::Scratch),
    ("Resource temporarily unavailable", Limit::Processes),
    ("can't start new thread", Limit::Processes),
];

/// `SIGXCPU` and `SIGXFSZ`, the same number on every architecture that is built for.
const OUT_OF_TIME: i32 = 24;
const FILE_TOO_LARGE: i32 = 25;
/// `SIGILL`, `SIGTRAP`, `SIGABRT`, `SIGBUS`, `SIGFPE`, `SIGSEGV`: what a program's own fault ends it with. No limit of ours
/// sends them.
const CRASHES: [i32; 6] = [4, 5, 6, 7, 8, 11];

impl Ending {
    /// The ending of a run whose report was read; `exit_is_ok` is the tool's own opinion on its exit code.
    pub(crate) fn of(outcome: &Outcome, exit_is_ok: bool, parsed: &Parsed) -> Self {
        match outcome.end {
            End::Killed(crate::leases::INTERRUPTED) => Self::Interrupted,
            End::Killed(_) => Self::NotOurs,
            End::TimedOut => Self::TimedOut,
            End::NetworkLost => Self::NetworkLost,
            End::OutputLimit => Self::OutputTruncated,
            End::Exited(_) if exit_is_ok => match parsed.gap {
                Some(gap) => Self::Incomplete(gap),
                None if parsed.observations > 0 => Self::FinishedWithFindings,
                None => Self::Finished,
            },
            End::Exited(_) => limit_of(outcome).map_or(Self::Failed, Self::OverLimit),
            End::NotStarted => Self::Failed,
            End::Signaled(OUT_OF_TIME) => Self::OverLimit(Limit::Processor),
            End::Signaled(FILE_TOO_LARGE) => Self::OverLimit(Limit::Scratch),
            // A program that is refused memory may abort: then the kernel counted it, or the program said so.
            End::Signaled(signal) if CRASHES.contains(&signal) => {
                limit_of(outcome).map_or(Self::Failed, Self::OverLimit)
            }
            End::Signaled(_) => Self::OverLimit(limit_of(outcome).unwrap_or(Limit::Unknown)),
        }
    }

    /// What is missing from the result because of it.
    pub(crate) const fn gap(self) -> Option<Gap> {
        match self {
            Self::Finished | Self::FinishedWithFindings | Self::Interrupted | Self::NotOurs => None,
            Self::Incomplete(gap) => Some(gap),
            Self::Failed | Self::NetworkLost => Some(Gap::ToolFailed),
            Self::TimedOut => Some(Gap::TimedOut),
            Self::OverLimit(_) => Some(Gap::LimitExceeded),
            Self::OutputTruncated => Some(Gap::OutputTruncated),
        }
    }

    /// What to tell a client of it beside the tool's own words; nothing where those say it.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::OverLimit(Limit::Memory) => "the tool came to its limit of memory",
            Self::OverLimit(Limit::Processor) => "the tool used up its processor time",
            Self::OverLimit(Limit::Processes) => "the tool came to its limit of processes",
            Self::OverLimit(Limit::Scratch) => "the tool filled its scratch directory",
            Self::OverLimit(Limit::Unknown) => "a signal ended the tool",
            Self::NetworkLost => "the network of the run was lost",
            Self::TimedOut => "the tool ran into its wall clock",
            Self::OutputTruncated => "the tool wrote more than it may",
            Self::Finished
            | Self::FinishedWithFindings
            | Self::Incomplete(_)
            | Self::Failed
            | Self::Interrupted
            | Self::NotOurs => "",
        }
    }
}

/// What the kernel counted, else what the tool said.
fn limit_of(outcome: &Outcome) -> Option<Limit> {
    match outcome.exceeded {
        Some(Exceeded::Memory) => Some(Limit::Memory),
        Some(Exceeded::Processes) => Some(Limit::Processes),
        None => complaint(&outcome.stderr),
    }
}

fn complaint(stderr: &str) -> Option<Limit> {
    COMPLAINTS.into_iter().find(|(text, _)| stderr.contains(text)).map(|(_, limit)| limit)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn outcome(end: End, stderr: &str) -> Outcome {
        Outcome {
            end,
            wall: Duration::ZERO,
            output_bytes: 0,
            truncated: false,
            stderr: stderr.to_owned(),
            stderr_truncated: false,
            exceeded: None,
            dropped_packets: None,
        }
    }

    fn ending(end: End, exit_is_ok: bool, stderr: &str) -> Ending {
        Ending::of(&outcome(end, stderr), exit_is_ok, &Parsed::default())
    }

    #[test]
    fn every_end_has_one_owner_and_its_gap() {
        let found = Parsed { observations: 2, ..Parsed::default() };
        let with_findings = Ending::of(&outcome(End::Exited(1), ""), true, &found);
        for (ending, expected, gap) in [
            (ending(End::Exited(0), true, ""), Ending::Finished, None),
            (with_findings, Ending::FinishedWithFindings, None),
            (ending(End::Exited(2), false, "no such option"), Ending::Failed, Some(Gap::ToolFailed)),
            (ending(End::NotStarted, false, ""), Ending::Failed, Some(Gap::ToolFailed)),
            (ending(End::TimedOut, false, ""), Ending::TimedOut, Some(Gap::TimedOut)),
            (ending(End::NetworkLost, true, ""), Ending::NetworkLost, Some(Gap::ToolFailed)),
            (ending(End::OutputLimit, false, ""), Ending::OutputTruncated, Some(Gap::OutputTruncated)),
            (ending(End::Signaled(24), false, ""), Ending::OverLimit(Limit::Processor), Some(Gap::LimitExceeded)),
            (ending(End::Signaled(25), false, ""), Ending::OverLimit(Limit::Scratch), Some(Gap::LimitExceeded)),
            (ending(End::Signaled(9), false, ""), Ending::OverLimit(Limit::Unknown), Some(Gap::LimitExceeded)),
            (ending(End::Signaled(15), false, ""), Ending::OverLimit(Limit::Unknown), Some(Gap::LimitExceeded)),
            (ending(End::Killed(crate::leases::INTERRUPTED), false, ""), Ending::Interrupted, None),
            (ending(End::Killed(crate::leases::LEASE_LOST), false, ""), Ending::NotOurs, None),
        ] {
            assert_eq!((ending, ending.gap()), (expected, gap));
        }
    }

    #[test]
    fn a_tool_that_crashes_by_itself_has_failed_and_no_limit_is_blamed() {
        for signal in CRASHES {
            let crash = End::Signaled(signal);
            let ended = ending(crash, false, "core dumped");
            assert_eq!((ended, ended.gap()), (Ending::Failed, Some(Gap::ToolFailed)), "{signal}");
            assert_eq!(ending(crash, false, "terminate: Out of memory"), Ending::OverLimit(Limit::Memory), "{signal}");
            let counted = Outcome { exceeded: Some(Exceeded::Processes), ..outcome(crash, "") };
            let ended = Ending::of(&counted, false, &Parsed::default());
            assert_eq!(ended, Ending::OverLimit(Limit::Processes), "{signal}");
        }
    }

    #[test]
    fn what_the_kernel_refused_is_told_from_what_the_tool_did_wrong() {
        for (stderr, limit) in [
            ("nmap: Cannot allocate memory", Limit::Memory),
            ("write: No space left on device", Limit::Scratch),
            ("fork: Resource temporarily unavailable", Limit::Processes),
        ] {
            assert_eq!(ending(End::Exited(1), false, stderr), Ending::OverLimit(limit), "{stderr}");
            assert_eq!(ending(End::Exited(0), true, stderr), Ending::Finished, "a tool that copes has not failed");
        }
        for (exceeded, limit) in [(Exceeded::Memory, Limit::Memory), (Exceeded::Processes, Limit::Processes)] {
            let counted = |end| Outcome { exceeded: Some(exceeded), ..outcome(end, "nmap: No space left on device") };
            for end in [End::Signaled(9), End::Exited(1)] {
                let ending = Ending::of(&counted(end), false, &Parsed::default());
                assert_eq!(ending, Ending::OverLimit(limit), "what the kernel counted goes before what a tool says");
            }
        }
    }
}
