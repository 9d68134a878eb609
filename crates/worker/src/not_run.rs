//! Why a run did not happen, in the words of whoever asks. It decides nothing: what becomes of the task is
//! [`crate::execution`]'s to say.

use picket_planner::NotSearched;
use picket_sandbox::{NetdError, SandboxError};
use picket_scanners::{ParamsError, UNKNOWN_TOOL};
use picket_store::StoreError;

/// A run that did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotRun {
    #[error("the tool is not installed here")]
    NoTool,
    #[error("the stored parameters do not fit the tool: {0}")]
    Params(ParamsError),
    /// A network of one's own has no way to some addresses of the host, or the node's policy forbids them.
    #[error(transparent)]
    Unreachable(SandboxError),
    /// The level was lost between the claim and the start: nothing is downgraded in silence.
    #[error("the sandbox holds less than it did when the task was taken")]
    Downgraded,
    #[error("the sandbox did not start: {0}")]
    Sandbox(SandboxError),
    #[error("the parser did not come back")]
    Parser,
    /// The name leads elsewhere than when it was judged.
    #[error("{CHANGED}")]
    Changed,
    /// The operator has it on the list of what is never scanned.
    #[error("the operator never has this scanned")]
    Denied,
    #[error(transparent)]
    NotSearched(#[from] NotSearched),
    #[error("the database did not say what the scan relies on")]
    Store(#[from] StoreError),
}

/// Whether it says nothing of the task: the database was away, or what was asked of it is gone.
pub(crate) fn is_nobodys(error: &StoreError) -> bool {
    error.is_outage() || matches!(error, StoreError::Stale { .. })
}

/// What a client is told of it.
pub(crate) const CHANGED: &str = "the name leads to other addresses than when the scan was made";

impl From<ParamsError> for NotRun {
    fn from(error: ParamsError) -> Self {
        if error.code == UNKNOWN_TOOL { Self::NoTool } else { Self::Params(error) }
    }
}

impl From<SandboxError> for NotRun {
    fn from(error: SandboxError) -> Self {
        if matches!(error, SandboxError::Unreachable { .. } | SandboxError::Network(NetdError::Forbidden(_))) {
            Self::Unreachable(error)
        } else if matches!(error, SandboxError::Unproven | SandboxError::RawUnavailable) {
            // Between the look at the level and the start it was lost.
            Self::Downgraded
        } else {
            Self::Sandbox(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_from_the_database_is_no_failure_of_the_task_and_a_row_that_means_nothing_is() {
        assert!(is_nobodys(&StoreError::Stale { expected: 1, actual: 0 }));
        assert!(!is_nobodys(&StoreError::Conflict { constraint: "none".into() }));
    }
}
