//! Scans as the v1 dialect shows them (CyberSec Pro's reference). The printed fields come first; what is ours follows.

use actix_web::HttpResponse;
use jiff::Timestamp;
use picket_domain::{Confidence, Coverage, FindingId, ScanId, ScanState, SeverityCounts};
use picket_store::scans::read::{ScanRecord, SightedFinding};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::routes::scans::{
    LoadedScan,
    coverage::{CoverageView, TaskCounts, coverage_views},
};

/// A scan that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScanCreatedV1 {
    #[schema(value_type = String, example = "scan_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    pub(super) id: ScanId,
    /// `created`.
    #[schema(example = "created")]
    pub(super) status: &'static str,
    #[schema(example = "example.com")]
    pub(super) target: String,
    #[schema(example = "nmap")]
    pub(super) tool: Option<&'static str>,
    pub(super) created_at: Timestamp,
    /// How many tasks it begins with.
    pub(super) tasks: u64,
}

/// A scan that repeats another one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScanRepeatedV1 {
    #[serde(flatten)]
    pub(super) scan: ScanCreatedV1,
    /// The scan that it repeats.
    #[schema(value_type = String, example = "scan_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    pub(super) rerun_of: ScanId,
}

/// Findings per severity; `total` is the sum of the five, unrated findings count as info.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::routes) struct FindingCountsV1 {
    total: u64,
    critical: u64,
    high: u64,
    medium: u64,
    low: u64,
    info: u64,
}

impl From<SeverityCounts> for FindingCountsV1 {
    fn from(counts: SeverityCounts) -> Self {
        let SeverityCounts { critical, high, medium, low, info } = counts;
        Self { total: counts.total(), critical, high, medium, low, info }
    }
}

/// A scan in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScanV1 {
    #[schema(value_type = String, example = "scan_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    id: ScanId,
    /// `created`, `queued`, `running`, `paused`, `completed`, `failed` or `cancelled`.
    status: &'static str,
    target: String,
    /// The tool; null for a plan of several tools.
    tool: Option<String>,
    created_at: Timestamp,
    /// The plan: `custom`, or what it was asked as under v2.
    scan_type: &'static str,
    /// When the first tool began.
    started_at: Option<Timestamp>,
    /// When it ended, in whichever way.
    completed_at: Option<Timestamp>,
    /// From the first tool's start to the end.
    duration_ms: Option<i64>,
    findings: FindingCountsV1,
}

impl ScanV1 {
    pub(super) fn new(record: &ScanRecord, counts: SeverityCounts) -> Self {
        let state = &record.scan.state;
        Self {
            id: record.scan.id,
            status: state.name(),
            target: record.target.clone(),
            tool: record.tool.clone(),
            created_at: record.created_at,
            scan_type: record.plan.name(),
            started_at: state.started_at(),
            completed_at: state.ended_at(),
            duration_ms: duration_ms(state),
            findings: counts.into(),
        }
    }
}

/// A scan with what was asked and how far it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScanDetailV1 {
    #[serde(flatten)]
    scan: ScanV1,
    /// As asked: the tool's parameters, or under v2 the options.
    #[schema(value_type = Object)]
    parameters: Value,
    /// Ways in which the asker hears of the end.
    notify: Vec<String>,
    /// Percent of the known work that has ended: each task is a part of it, and of a task that more may grow from, two thirds
    /// are kept for what does. It never goes back.
    progress: u8,
    tasks: TaskCounts,
    coverage: Vec<CoverageView>,
    /// Why it failed, or that it was cancelled.
    message: Option<String>,
    /// The scan that it repeats; it may be deleted by now.
    #[schema(value_type = Option<String>)]
    rerun_of: Option<ScanId>,
    /// The profile that it was made with, which may be gone by now.
    #[schema(example = "web")]
    profile: Option<String>,
    /// Of a profile of yours: its version at that time.
    profile_version: Option<i32>,
}

/// The answer to a change of a scan's state.
pub(super) fn changed(scan: &LoadedScan) -> HttpResponse {
    HttpResponse::Ok().json(ScanDetailV1::new(scan))
}

impl ScanDetailV1 {
    pub(in crate::routes::scans) fn new(scan: &LoadedScan) -> Self {
        let LoadedScan { record, counts, coverage, rerun_of, progress, profile } = scan;
        let tasks = TaskCounts::of(record, coverage);
        Self {
            scan: ScanV1::new(record, *counts),
            parameters: record.request.clone(),
            notify: record.notify.clone(),
            progress: *progress,
            tasks,
            coverage: coverage_views(coverage),
            message: message(&record.scan.state),
            rerun_of: *rerun_of,
            profile: profile.as_ref().map(|used| used.profile.clone()),
            profile_version: profile.as_ref().and_then(|used| used.version),
        }
    }
}

/// How far a scan is, for polling.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScanStatusV1 {
    #[schema(value_type = String, example = "scan_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    scan_id: ScanId,
    status: &'static str,
    /// Percent of the known work that has ended, as in the scan itself; 100 exactly when the scan has.
    progress: u8,
    tasks: TaskCounts,
    findings: FindingCountsV1,
    started_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    coverage: Vec<CoverageView>,
    /// Why it failed, or that it was cancelled.
    message: Option<String>,
}

impl ScanStatusV1 {
    pub(super) fn new(scan: &LoadedScan) -> Self {
        let LoadedScan { record, counts, coverage, rerun_of: _, progress, profile: _ } = scan;
        let (state, tasks) = (&record.scan.state, TaskCounts::of(record, coverage));
        Self {
            scan_id: record.scan.id,
            status: state.name(),
            progress: *progress,
            tasks,
            findings: (*counts).into(),
            started_at: state.started_at(),
            completed_at: state.ended_at(),
            coverage: coverage_views(coverage),
            message: message(state),
        }
    }
}

/// A finding of a scan.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::routes) struct VulnerabilityV1 {
    #[schema(value_type = String, example = "vuln_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    id: FindingId,
    title: String,
    cve: Option<String>,
    /// CVSS base score.
    cvss: Option<f64>,
    /// `critical`, `high`, `medium`, `low`, `info` or `unknown`.
    severity: &'static str,
    evidence: String,
    remediation: String,
    description: String,
    /// Where it is, e.g. `93.184.215.14:443/tcp` or a URL.
    location: String,
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

impl VulnerabilityV1 {
    pub(in crate::routes) fn new(finding: &SightedFinding) -> Self {
        Self {
            id: finding.id,
            title: finding.title.clone(),
            cve: finding.cve.clone(),
            cvss: finding.cvss,
            severity: finding.severity.name(),
            evidence: finding.evidence.clone(),
            remediation: finding.remediation.clone(),
            description: finding.description.clone(),
            location: finding.location.to_string(),
            confidence: finding.confidence,
            cwe: finding.cwe.map(|number| format!("CWE-{number}")),
            references: finding.references.clone(),
            sources: finding.sources.clone(),
        }
    }
}

/// What a scan found. Of a scan that has not ended: what it found so far; `status` and `coverage` tell.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScanResultV1 {
    #[schema(value_type = String, example = "scan_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    scan_id: ScanId,
    status: &'static str,
    /// From the first tool's start to the end; null until then.
    duration_ms: Option<i64>,
    findings: FindingCountsV1,
    /// Worst first, at most 10,000; `findings.total` counts all.
    vulnerabilities: Vec<VulnerabilityV1>,
    /// What was looked at, and what was not.
    coverage: Vec<CoverageView>,
    /// Why it failed, or that it was cancelled.
    message: Option<String>,
}

impl ScanResultV1 {
    pub(super) fn new(
        record: &ScanRecord,
        counts: SeverityCounts,
        findings: &[SightedFinding],
        coverage: &[Coverage],
    ) -> Self {
        Self {
            scan_id: record.scan.id,
            status: record.scan.state.name(),
            duration_ms: duration_ms(&record.scan.state),
            findings: counts.into(),
            vulnerabilities: findings.iter().map(VulnerabilityV1::new).collect(),
            coverage: coverage_views(coverage),
            message: message(&record.scan.state),
        }
    }
}

fn duration_ms(state: &ScanState) -> Option<i64> {
    let (started_at, ended_at) = (state.started_at()?, state.ended_at()?);
    i64::try_from(ended_at.duration_since(started_at).as_millis()).ok()
}

fn message(state: &ScanState) -> Option<String> {
    match state {
        ScanState::Failed { reason, .. } => Some(reason.clone()),
        ScanState::Cancelled { .. } => Some("the scan was cancelled; what was found until then is kept".to_owned()),
        ScanState::Created
        | ScanState::Queued
        | ScanState::Running { .. }
        | ScanState::Paused { .. }
        | ScanState::Completed { .. } => None,
    }
}
