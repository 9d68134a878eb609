//! Why a task was put back, for its client. Never what a tool complained, nor anything of the machine that it ran on.

use picket_domain::Gap;
use serde::{Deserialize, Serialize};

/// Why a task was put back when it was last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutBack {
    /// The name of a gap, or `interrupted`.
    pub code: String,
    /// More to say of it.
    pub detail: Option<String>,
}

impl PutBack {
    /// What was missing from its run; without a gap, the worker stopped.
    pub(super) fn new(gap: Option<Gap>, detail: Option<&str>) -> Self {
        Self { code: gap.map_or("interrupted", Gap::name).to_owned(), detail: detail.map(str::to_owned) }
    }

    /// The worker was lost.
    pub(super) fn lost() -> Self {
        Self::new(Some(Gap::WorkerLost), Some("the worker was lost while the tool ran"))
    }
}
