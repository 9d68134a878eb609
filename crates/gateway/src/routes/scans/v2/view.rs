//! Scans as the v2 dialect shows them (Bitvisor's reference). The printed fields come first; what is ours follows.

use jiff::Timestamp;
use picket_domain::{Confidence, Coverage, FindingId, ScanState, Severity, SeverityCounts};
use picket_store::scans::read::{ScanRecord, SightedFinding};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::routes::scans::coverage::{CoverageView, coverage_views};

/// A state of the v2 dialect (`docs/contract.md` §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum StatusV2 {
    /// Accepted, and nothing ran yet.
    Pending,
    /// Something ran.
    Running,
    /// Ended with its result.
    Completed,
    /// Ended without one, or cancelled.
    Failed,
}

impl StatusV2 {
    /// What a scan is called. A scan that is held has begun, so it is called running.
    pub(super) const fn of(state: &ScanState) -> Self {
        match state {
            ScanState::Created | ScanState::Queued => Self::Pending,
            ScanState::Running { .. } | ScanState::Paused { .. } => Self::Running,
            ScanState::Completed { .. } => Self::Completed,
            ScanState::Failed { .. } | ScanState::Cancelled { .. } => Self::Failed,
        }
    }

    /// The name on the wire.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// The states that are called so.
    pub(super) const fn states(self) -> &'static [&'static str] {
        match self {
            Self::Pending => &["created", "queued"],
            Self::Running => &["running", "paused"],
            Self::Completed => &["completed"],
            Self::Failed => &["failed", "cancelled"],
        }
    }
}

/// A scan that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScanCreatedV2 {
    #[schema(example = 123)]
    pub(super) scan_id: i64,
    /// `pending`.
    #[schema(example = "pending")]
    pub(super) status: &'static str,
    #[schema(example = "example.com")]
    pub(super) target: String,
    #[schema(example = "10-15 minutes")]
    pub(super) estimated_duration: String,
    #[schema(example = "Scan has been queued successfully")]
    pub(super) message: &'static str,
}

/// Findings per severity; info is not counted in this dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct SeverityCountsV2 {
    critical: u64,
    high: u64,
    medium: u64,
    low: u64,
}

impl From<SeverityCounts> for SeverityCountsV2 {
    fn from(counts: SeverityCounts) -> Self {
        let SeverityCounts { critical, high, medium, low, info: _ } = counts;
        Self { critical, high, medium, low }
    }
}

/// A scan in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScanV2 {
    #[schema(example = 1)]
    id: i64,
    target: String,
    /// `pending`, `running`, `completed` or `failed`.
    status: &'static str,
    created_at: Timestamp,
    /// When it ended, in whichever way; null before.
    completed_at: Option<Timestamp>,
    /// The sum of `severity_counts`.
    vulnerabilities_found: u64,
    severity_counts: SeverityCountsV2,
    /// `quick`, `full` or `custom`.
    scan_type: &'static str,
    /// When the first tool began.
    started_at: Option<Timestamp>,
    /// Why it failed, or that it was cancelled.
    message: Option<String>,
}

impl ScanV2 {
    pub(super) fn new(record: &ScanRecord, counts: SeverityCounts) -> Self {
        let state = &record.scan.state;
        Self {
            id: record.number,
            target: record.target.clone(),
            status: StatusV2::of(state).name(),
            created_at: record.created_at,
            completed_at: state.ended_at(),
            vulnerabilities_found: counts.rated(),
            severity_counts: counts.into(),
            scan_type: record.plan.name(),
            started_at: state.started_at(),
            message: message(state),
        }
    }
}

/// A finding of a scan.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VulnerabilityV2 {
    /// The CVE id where there is one, else ours.
    #[schema(example = "CVE-2023-1234")]
    id: String,
    title: String,
    /// `critical`, `high`, `medium` or `low`; `info` or `unknown` among `informational`.
    severity: &'static str,
    cvss_score: Option<f64>,
    description: String,
    /// The URL, when the finding is of a page.
    affected_url: Option<String>,
    recommendation: String,
    /// Our id of it, the same in every scan.
    #[schema(value_type = String, example = "vuln_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    finding_id: FindingId,
    /// Where it is, e.g. `93.184.215.14:443/tcp` or a URL.
    location: String,
    evidence: String,
    /// How sure the surest of its sources is.
    #[schema(value_type = String, example = "high")]
    confidence: Confidence,
    /// Its kind, by its number in the Common Weakness Enumeration, e.g. `CWE-327`.
    #[schema(example = "CWE-327")]
    cwe: Option<String>,
    /// Where to read more.
    references: Vec<String>,
    /// The tools that saw it.
    #[schema(example = json!(["nmap", "sslscan"]))]
    sources: Vec<String>,
}

impl VulnerabilityV2 {
    fn new(finding: &SightedFinding) -> Self {
        Self {
            id: finding.cve.clone().unwrap_or_else(|| finding.id.to_string()),
            title: finding.title.clone(),
            severity: finding.severity.name(),
            cvss_score: finding.cvss,
            description: finding.description.clone(),
            affected_url: finding.location.url.clone(),
            recommendation: finding.remediation.clone(),
            finding_id: finding.id,
            location: finding.location.to_string(),
            confidence: finding.confidence,
            cwe: finding.cwe.map(|number| format!("CWE-{number}")),
            references: finding.references.clone(),
            sources: finding.sources.clone(),
            evidence: finding.evidence.clone(),
        }
    }
}

/// A scan with what it found so far.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScanDetailV2 {
    #[serde(flatten)]
    scan: ScanV2,
    /// What was found of at least low severity, worst first, at most 10,000.
    vulnerabilities: Vec<VulnerabilityV2>,
    /// Findings that are no vulnerabilities: open ports, for one.
    informational: Vec<VulnerabilityV2>,
    /// What was looked at, and what was not.
    coverage: Vec<CoverageView>,
    /// As asked: the options, or under v1 the tool's parameters.
    #[schema(value_type = Object)]
    options: Value,
}

impl ScanDetailV2 {
    pub(super) fn new(
        record: &ScanRecord,
        counts: SeverityCounts,
        findings: &[SightedFinding],
        coverage: &[Coverage],
    ) -> Self {
        let is_rated = |finding: &&SightedFinding| finding.severity >= Severity::Low;
        Self {
            scan: ScanV2::new(record, counts),
            vulnerabilities: findings.iter().filter(is_rated).map(VulnerabilityV2::new).collect(),
            informational: findings.iter().filter(|finding| !is_rated(finding)).map(VulnerabilityV2::new).collect(),
            coverage: coverage_views(coverage),
            options: record.request.clone(),
        }
    }
}

fn message(state: &ScanState) -> Option<String> {
    match state {
        ScanState::Failed { reason, .. } => Some(reason.clone()),
        ScanState::Cancelled { .. } => Some("the scan was cancelled".to_owned()),
        ScanState::Created
        | ScanState::Queued
        | ScanState::Running { .. }
        | ScanState::Paused { .. }
        | ScanState::Completed { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states() -> Vec<ScanState> {
        let at: Timestamp = "2026-01-15T14:30:00Z".parse().unwrap();
        vec![
            ScanState::Created,
            ScanState::Queued,
            ScanState::Running { started_at: at },
            ScanState::Paused { started_at: at },
            ScanState::Completed { started_at: at, ended_at: at },
            ScanState::Failed { started_at: None, ended_at: at, reason: "x".to_owned() },
            ScanState::Cancelled { started_at: Some(at), ended_at: at },
        ]
    }

    #[test]
    fn the_filter_finds_what_is_shown_under_its_word() {
        for state in states() {
            let status = StatusV2::of(&state);
            assert!(status.states().contains(&state.name()), "{state:?}");
            assert_eq!(serde_json::from_value::<StatusV2>(status.name().into()).unwrap(), status);
        }
        let words = [StatusV2::Pending, StatusV2::Running, StatusV2::Completed, StatusV2::Failed];
        let all: usize = words.into_iter().map(|status| status.states().len()).sum();
        assert_eq!(all, states().len(), "every state has one word");
    }

    #[test]
    fn a_cancelled_scan_is_failed_and_says_why() {
        let cancelled = states().pop().unwrap();
        assert_eq!(StatusV2::of(&cancelled), StatusV2::Failed);
        assert_eq!(message(&cancelled).as_deref(), Some("the scan was cancelled"));
    }
}
