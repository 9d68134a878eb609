//! How bad a finding is. `unknown` is said of what no source rated; it is never guessed to be harmless.

use serde::{Deserialize, Serialize};

/// How bad a finding is, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// No source rated it.
    Unknown,
    /// Worth knowing.
    Info,
    /// Little harm.
    Low,
    /// Some harm, or harm under conditions.
    Medium,
    /// Serious harm.
    High,
    /// Act today.
    Critical,
}

impl Severity {
    /// All severities, worst first.
    pub const ALL: [Self; 6] = [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Info, Self::Unknown];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }

    /// The band of a CVSS score (FIRST, CVSS v3.1 §5: 0 none, <4 low, <7 medium, <9 high).
    #[must_use]
    pub fn of_cvss(score: f64) -> Self {
        match score {
            score if score.is_nan() => Self::Unknown,
            score if score >= 9.0 => Self::Critical,
            score if score >= 7.0 => Self::High,
            score if score >= 4.0 => Self::Medium,
            score if score > 0.0 => Self::Low,
            _ => Self::Info,
        }
    }
}

/// Findings per severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeverityCounts {
    /// Critical findings.
    pub critical: u64,
    /// High findings.
    pub high: u64,
    /// Medium findings.
    pub medium: u64,
    /// Low findings.
    pub low: u64,
    /// Info findings; unrated ones count here (`docs/contract.md` §17).
    pub info: u64,
}

impl SeverityCounts {
    /// Counts `count` more findings of `severity`.
    pub const fn add(&mut self, severity: Severity, count: u64) {
        let slot = match severity {
            Severity::Critical => &mut self.critical,
            Severity::High => &mut self.high,
            Severity::Medium => &mut self.medium,
            Severity::Low => &mut self.low,
            Severity::Info | Severity::Unknown => &mut self.info,
        };
        *slot = slot.saturating_add(count);
    }

    /// Findings counted under that severity.
    #[must_use]
    pub const fn of(&self, severity: Severity) -> u64 {
        match severity {
            Severity::Critical => self.critical,
            Severity::High => self.high,
            Severity::Medium => self.medium,
            Severity::Low => self.low,
            Severity::Info | Severity::Unknown => self.info,
        }
    }

    /// All findings.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.rated().saturating_add(self.info)
    }

    /// Findings that are at least low: what the v2 dialect calls vulnerabilities.
    #[must_use]
    pub const fn rated(&self) -> u64 {
        self.critical.saturating_add(self.high).saturating_add(self.medium).saturating_add(self.low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_severity_is_found_by_its_name() {
        for severity in Severity::ALL {
            assert_eq!(Severity::find(severity.name()), Some(severity));
        }
        assert!(Severity::Critical > Severity::High);
    }

    #[test]
    fn unrated_findings_count_as_info_and_info_is_no_vulnerability() {
        let mut counts = SeverityCounts::default();
        counts.add(Severity::Unknown, 2);
        counts.add(Severity::High, 3);
        assert_eq!((counts.total(), counts.rated(), counts.info), (5, 3, 2));
    }

    #[test]
    fn a_score_falls_into_its_band() {
        let bands =
            [(9.8, "critical"), (7.0, "high"), (4.0, "medium"), (0.1, "low"), (0.0, "info"), (f64::NAN, "unknown")];
        for (score, band) in bands {
            assert_eq!(Severity::of_cvss(score).name(), band);
        }
    }
}
