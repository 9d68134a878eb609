//! What a run comes to, from how the tool ended and what its output said. Pure. The one thing it must never do is call a
//! run complete whose tool did not say itself that it had finished.

use picket_domain::Gap;
use picket_sandbox::End;
use picket_scanners::Parsed;
use picket_store::tasks::MAX_FAILURES;

/// What to do with a task whose tool ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Store what was found; the gap says what is missing.
    Complete(Option<Gap>),
    /// Nothing was found, and another try would not help, or there were enough.
    Fail(Gap),
    /// Try again later.
    Retry,
    /// The worker stops: somebody else goes on.
    HandBack,
    /// The task is not ours any more: forget it.
    Forget,
}

/// Decides.
pub(crate) fn verdict(end: End, exit_is_ok: bool, parsed: &Parsed, failures: i32) -> Verdict {
    let gap = match end {
        End::Killed(crate::leases::INTERRUPTED) => return Verdict::HandBack,
        End::Killed(_) => return Verdict::Forget,
        End::TimedOut => Gap::TimedOut,
        End::OutputLimit => Gap::OutputTruncated,
        End::Exited(_) if exit_is_ok => match parsed.gap {
            None => return Verdict::Complete(None),
            Some(gap) => gap,
        },
        End::Exited(_) | End::NotStarted => Gap::ToolFailed,
        End::Signaled(_) => Gap::LimitExceeded,
    };
    let may_pass = matches!(gap, Gap::ToolFailed | Gap::OutputIncomplete | Gap::LimitExceeded);
    if may_pass && failures.saturating_add(1) < MAX_FAILURES {
        Verdict::Retry
    } else if parsed.observations > 0 {
        Verdict::Complete(Some(gap))
    } else {
        Verdict::Fail(gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(gap: Option<Gap>, observations: u64) -> Parsed {
        Parsed { gap, observations, ..Parsed::default() }
    }

    #[test]
    fn only_a_finished_tool_with_a_finished_output_is_complete() {
        let finished = parsed(None, 0);
        assert_eq!(verdict(End::Exited(0), true, &finished, 0), Verdict::Complete(None));
        let ends = [End::TimedOut, End::OutputLimit, End::Exited(1), End::Signaled(9), End::NotStarted];
        for end in ends {
            for failures in 0..4 {
                for observations in [0, 5] {
                    let verdict = verdict(end, false, &parsed(None, observations), failures);
                    assert_ne!(verdict, Verdict::Complete(None), "{end:?}");
                }
            }
        }
    }

    #[test]
    fn a_broken_output_is_tried_again_and_then_kept_as_partial() {
        let broken = parsed(Some(Gap::OutputIncomplete), 3);
        assert_eq!(verdict(End::Exited(0), true, &broken, 0), Verdict::Retry);
        assert_eq!(verdict(End::Exited(0), true, &broken, 2), Verdict::Complete(Some(Gap::OutputIncomplete)));
        let empty = parsed(Some(Gap::OutputIncomplete), 0);
        assert_eq!(verdict(End::Exited(0), true, &empty, 2), Verdict::Fail(Gap::OutputIncomplete));
    }

    #[test]
    fn a_slow_tool_is_not_tried_again() {
        assert_eq!(verdict(End::TimedOut, false, &parsed(None, 0), 0), Verdict::Fail(Gap::TimedOut));
        assert_eq!(verdict(End::TimedOut, false, &parsed(None, 1), 0), Verdict::Complete(Some(Gap::TimedOut)));
    }

    #[test]
    fn an_interruption_gives_the_task_back_and_a_lost_lease_forgets_it() {
        let nothing = parsed(None, 0);
        assert_eq!(verdict(End::Killed(crate::leases::INTERRUPTED), false, &nothing, 0), Verdict::HandBack);
        assert_eq!(verdict(End::Killed(crate::leases::LEASE_LOST), false, &nothing, 0), Verdict::Forget);
    }
}
