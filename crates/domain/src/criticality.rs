//! How much a target matters to its owner. Says nothing of what was found there.

use serde::{Deserialize, Serialize};

/// How much a target matters to its owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Criticality {
    /// Nobody would miss it.
    Low,
    /// As others.
    #[default]
    Medium,
    /// Work stops without it.
    High,
    /// The owner's existence depends on it.
    Critical,
}

impl Criticality {
    /// Every one, least first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_values() {
        assert!(Criticality::ALL.into_iter().all(|one| Criticality::find(one.name()) == Some(one)));
    }
}
