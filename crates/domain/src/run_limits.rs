//! How long a run of a tool may take and how fast it may go, as a profile says it for each tool and the owner of a target for all of
//! them. They only ever shorten and slow down: what the operator and the tool itself allow is decided elsewhere.

use std::collections::{BTreeMap, btree_map};

use serde::{Deserialize, Serialize};

/// Limits of one run; what is `None` is as it would be without them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunLimits {
    /// Seconds from start to end.
    pub seconds: Option<u32>,
    /// The most requests or packets in a second, of a tool that can be told so.
    pub rate: Option<u32>,
}

/// Limits of the runs of a scan, by the tool's slug.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScanLimits(BTreeMap<String, RunLimits>);

impl ScanLimits {
    /// The shortest time that a run can be given, in seconds: below it most tools would find nothing.
    pub const SHORTEST: u32 = 10;

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of a tool.
    #[must_use]
    pub fn of(&self, tool: &str) -> RunLimits {
        self.0.get(tool).copied().unwrap_or_default()
    }

    /// All of them, by the tool's slug.
    pub fn iter(&self) -> btree_map::Iter<'_, String, RunLimits> {
        self.0.iter()
    }
}

impl FromIterator<(String, RunLimits)> for ScanLimits {
    fn from_iter<I: IntoIterator<Item = (String, RunLimits)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

/// How gently the owner of a target wants it to be examined; what is `None` is as everywhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Politeness {
    /// Tasks of the organization that examine one of its hosts at once.
    pub max_tasks: Option<u32>,
    /// The most requests or packets in a second of each run that can be told so.
    pub max_rate: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept_by_tool_and_what_is_not_said_is_as_without_them() {
        let one = RunLimits { seconds: Some(60), rate: None };
        let limits: ScanLimits = [("nmap".to_owned(), one)].into_iter().collect();
        assert_eq!((limits.of("nmap"), limits.of("ffuf")), (one, RunLimits::default()));
        let kept = serde_json::to_value(&limits).unwrap();
        assert_eq!(kept, serde_json::json!({"nmap": {"seconds": 60, "rate": null}}));
        assert_eq!(serde_json::from_value::<ScanLimits>(kept).unwrap(), limits);
        assert!(serde_json::from_value::<ScanLimits>(serde_json::json!({"nmap": {"hours": 1}})).is_err());
    }
}
