//! What a run comes to, from how it ended. Pure. The one thing it must never do is call a
//! run complete whose tool did not say itself that it had finished.

use picket_domain::Gap;
use picket_store::tasks::MAX_FAILURES;

use crate::ending::Ending;

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
    /// The task is not ours any more: if it was stopped, store what was found until then.
    Keep,
    /// The task is not ours any more: forget it.
    Forget,
}

/// Decides.
pub(crate) fn verdict(ending: Ending, observations: u64, failures: i32) -> Verdict {
    let gap = match (ending, ending.gap()) {
        (Ending::Interrupted, _) => return Verdict::HandBack,
        // Whatever was read was whole when it was read. The store knows whether it was stopped or given to somebody else.
        (Ending::NotOurs, _) if observations > 0 => return Verdict::Keep,
        (Ending::NotOurs, _) => return Verdict::Forget,
        (_, None) => return Verdict::Complete(None),
        (_, Some(gap)) => gap,
    };
    let may_pass = matches!(gap, Gap::ToolFailed | Gap::OutputIncomplete | Gap::LimitExceeded);
    if may_pass && failures.saturating_add(1) < MAX_FAILURES {
        Verdict::Retry
    } else if observations > 0 {
        Verdict::Complete(Some(gap))
    } else {
        Verdict::Fail(gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::Limit;

    #[test]
    fn only_a_finished_tool_with_a_finished_output_is_complete() {
        assert_eq!(verdict(Ending::Finished, 0, 0), Verdict::Complete(None));
        assert_eq!(verdict(Ending::FinishedWithFindings, 3, 0), Verdict::Complete(None));
        let others = [
            Ending::TimedOut,
            Ending::OutputTruncated,
            Ending::Failed,
            Ending::NetworkLost,
            Ending::OverLimit(Limit::Memory),
            Ending::Incomplete(Gap::OutputIncomplete),
        ];
        for ending in others {
            for failures in 0..4 {
                for observations in [0, 5] {
                    assert_ne!(verdict(ending, observations, failures), Verdict::Complete(None), "{ending:?}");
                }
            }
        }
    }

    #[test]
    fn a_broken_output_is_tried_again_and_then_kept_as_partial() {
        let broken = Ending::Incomplete(Gap::OutputIncomplete);
        assert_eq!(verdict(broken, 3, 0), Verdict::Retry);
        assert_eq!(verdict(broken, 3, 2), Verdict::Complete(Some(Gap::OutputIncomplete)));
        assert_eq!(verdict(broken, 0, 2), Verdict::Fail(Gap::OutputIncomplete));
    }

    #[test]
    fn a_slow_tool_is_not_tried_again() {
        assert_eq!(verdict(Ending::TimedOut, 0, 0), Verdict::Fail(Gap::TimedOut));
        assert_eq!(verdict(Ending::TimedOut, 1, 0), Verdict::Complete(Some(Gap::TimedOut)));
    }

    #[test]
    fn an_interruption_gives_the_task_back_and_a_lost_lease_forgets_it() {
        assert_eq!(verdict(Ending::Interrupted, 0, 0), Verdict::HandBack);
        assert_eq!(verdict(Ending::NotOurs, 0, 0), Verdict::Forget);
        assert_eq!(verdict(Ending::NotOurs, 3, 0), Verdict::Keep);
        assert_eq!(verdict(Ending::Interrupted, 3, 0), Verdict::HandBack);
    }
}
