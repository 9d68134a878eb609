//! The verdict of a gate as v1 shows it: what was asked, what it came to, and every reason against a pass.

use picket_domain::{FindingId, GatePolicy, GateReason, GateVerdict, ScanId, Severity};
use picket_store::scans::gate::GateFinding;
use serde::Serialize;
use utoipa::ToSchema;

use super::Gated;
use crate::routes::scans::{
    coverage::{CoverageView, coverage_views},
    v1::view::FindingCountsV1,
};

/// Whether a build may go on.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GateV1 {
    #[schema(value_type = String, example = "scan_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    scan_id: ScanId,
    /// `pass`, `fail`, `pending` or `incomplete`; only `pass` is one.
    #[schema(value_type = String, example = "pass")]
    verdict: GateVerdict,
    /// The state of the scan.
    status: &'static str,
    policy: GatePolicyV1,
    /// The findings that were judged.
    findings: FindingCountsV1,
    /// Everything against a pass; empty exactly when the verdict is `pass`.
    reasons: Vec<GateReasonV1>,
    /// What was looked at, and what was not.
    coverage: Vec<CoverageView>,
}

/// The policy that was asked for.
#[derive(Debug, Serialize, ToSchema)]
struct GatePolicyV1 {
    /// How many findings of a severity are accepted.
    max: GateMostV1,
    /// Whether only findings that the base did not have were judged.
    only_new: bool,
    /// The base; null without one.
    #[schema(value_type = Option<String>)]
    base_scan_id: Option<ScanId>,
    /// Findings that are less sure were not judged.
    #[schema(example = "low")]
    min_confidence: &'static str,
    allow_incomplete: bool,
}

/// How many findings are accepted; null for any number.
#[derive(Debug, Serialize, ToSchema)]
struct GateMostV1 {
    critical: Option<u64>,
    high: Option<u64>,
    medium: Option<u64>,
    low: Option<u64>,
    info: Option<u64>,
}

/// Something against a pass.
#[derive(Debug, Serialize, ToSchema)]
struct GateReasonV1 {
    /// `too_many_findings`, `scan_not_ended`, `scan_failed`, `nothing_examined`, `scan_is_partial` or `coverage_incomplete`.
    #[schema(example = "too_many_findings")]
    code: &'static str,
    message: String,
    /// Of `too_many_findings`: which severity.
    severity: Option<&'static str>,
    /// Of `too_many_findings`: how many there are.
    found: Option<u64>,
    /// Of `too_many_findings`: how many are accepted.
    accepted: Option<u64>,
    /// Of `too_many_findings`: the first 100 of them.
    findings: Vec<GateFindingV1>,
}

/// A finding that is one too many.
#[derive(Debug, Serialize, ToSchema)]
struct GateFindingV1 {
    #[schema(value_type = String, example = "vuln_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    id: FindingId,
    /// Under which it is known across scans.
    fingerprint: String,
    rule: String,
    title: String,
    cve: Option<String>,
    severity: &'static str,
    location: String,
}

impl GateV1 {
    pub(super) fn new(gated: &Gated, policy: &GatePolicy) -> Self {
        let Gated { record, coverage, judged, counts, verdict, reasons, findings, .. } = gated;
        let most = |severity| policy.allowance(severity);
        let max = GateMostV1 {
            critical: most(Severity::Critical),
            high: most(Severity::High),
            medium: most(Severity::Medium),
            low: most(Severity::Low),
            info: most(Severity::Info),
        };
        Self {
            scan_id: record.scan.id,
            verdict: *verdict,
            status: record.scan.state.name(),
            policy: GatePolicyV1 {
                max,
                only_new: judged.since.is_some(),
                base_scan_id: judged.since.flatten(),
                min_confidence: judged.least_confidence.name(),
                allow_incomplete: policy.allows_gaps,
            },
            findings: (*counts).into(),
            reasons: reasons.iter().map(|reason| GateReasonV1::new(*reason, findings)).collect(),
            coverage: coverage_views(coverage),
        }
    }
}

impl GateReasonV1 {
    fn new(reason: GateReason, findings: &[GateFinding]) -> Self {
        let (code, message) = (reason.code(), message(reason));
        let GateReason::TooMany { severity, found, most } = reason else {
            return Self { code, message, severity: None, found: None, accepted: None, findings: Vec::new() };
        };
        let findings = findings.iter().filter(|one| counted(one.finding.severity) == severity);
        Self {
            code,
            message,
            severity: Some(severity.name()),
            found: Some(found),
            accepted: Some(most),
            findings: findings.map(GateFindingV1::new).take(100).collect(),
        }
    }
}

/// Under which severity a finding is counted.
fn counted(severity: Severity) -> Severity {
    severity.max(Severity::Info)
}

/// A reason in words.
pub(super) fn message(reason: GateReason) -> String {
    match reason {
        GateReason::TooMany { severity, found, most } => {
            format!("found {found} of severity {}, and {most} are accepted", severity.name())
        }
        GateReason::NotEnded => "the scan has not ended".to_owned(),
        GateReason::Failed => "the scan failed".to_owned(),
        GateReason::NothingExamined => "no tool looked at anything".to_owned(),
        GateReason::PartOfAScan => "the scan repeats only a part of another one".to_owned(),
        GateReason::Gaps { lines } => format!("{lines} tasks did not look at all of their part; the coverage says why"),
    }
}

impl GateFindingV1 {
    fn new(one: &GateFinding) -> Self {
        let GateFinding { finding, fingerprint, .. } = one;
        Self {
            id: finding.id,
            fingerprint: fingerprint.to_string(),
            rule: finding.rule.clone(),
            title: finding.title.clone(),
            cve: finding.cve.clone(),
            severity: finding.severity.name(),
            location: finding.location.to_string(),
        }
    }
}
