//! Reports as clients see them; the dialects differ in ids alone.

use jiff::Timestamp;
use picket_domain::{ReportId, ReportState, ScanId};
use picket_store::reports::read::ReportRecord;
use serde::Serialize;
use utoipa::ToSchema;

/// A report that was accepted in v1.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReportAcceptedV1 {
    #[schema(value_type = String, example = "rep_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    pub(super) id: ReportId,
    /// The same as `id`.
    #[schema(value_type = String, example = "rep_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    pub(super) report_id: ReportId,
    /// `queued`.
    #[schema(example = "queued")]
    pub(super) status: &'static str,
    #[schema(example = "pdf")]
    pub(super) format: &'static str,
}

/// A report that was accepted in v2.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReportAcceptedV2 {
    #[schema(example = 7)]
    pub(super) id: i64,
    /// The same as `id`.
    #[schema(example = 7)]
    pub(super) report_id: i64,
    /// `queued`.
    #[schema(example = "queued")]
    pub(super) status: &'static str,
    #[schema(example = "pdf")]
    pub(super) format: &'static str,
}

/// A report in v1.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReportV1 {
    #[schema(value_type = String, example = "rep_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    id: ReportId,
    #[schema(value_type = Vec<String>)]
    scan_ids: Vec<ScanId>,
    #[serde(flatten)]
    state: ReportStateView,
}

/// A report in v2.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReportV2 {
    #[schema(example = 7)]
    id: i64,
    /// The scans it covers that are still there.
    #[schema(example = json!([123, 124]))]
    scan_ids: Vec<i64>,
    #[serde(flatten)]
    state: ReportStateView,
}

/// What both dialects say of a report.
#[derive(Debug, Serialize, ToSchema)]
struct ReportStateView {
    /// `queued`, `running`, `done` or `failed`.
    status: &'static str,
    /// `pdf`, `html` or `json`.
    format: &'static str,
    include_executive_summary: bool,
    include_technical_details: bool,
    created_at: Timestamp,
    /// When it ended, in whichever way.
    completed_at: Option<Timestamp>,
    /// Of the document, once it is done.
    size_bytes: Option<u64>,
    /// Of the document, in hexadecimal digits; also its entity tag.
    sha256: Option<String>,
    /// What you should know of it, e.g. that the logo could not be fetched.
    warnings: Vec<String>,
    /// Why it failed.
    message: Option<String>,
}

impl ReportStateView {
    fn new(record: &ReportRecord) -> Self {
        let (completed_at, document, message) = match &record.report.state {
            ReportState::Queued | ReportState::Running { .. } => (None, None, None),
            ReportState::Done { document, ended_at, .. } => (Some(*ended_at), Some(document), None),
            ReportState::Failed { ended_at, reason } => (Some(*ended_at), None, Some(reason.clone())),
        };
        Self {
            status: record.report.state.name(),
            format: record.request.format.name(),
            include_executive_summary: record.request.include_executive_summary,
            include_technical_details: record.request.include_technical_details,
            created_at: record.created_at,
            completed_at,
            size_bytes: document.map(|document| document.size_bytes),
            sha256: document.map(|document| document.sha256.clone()),
            warnings: record.warnings.clone(),
            message,
        }
    }
}

impl ReportV1 {
    pub(super) fn new(record: &ReportRecord) -> Self {
        Self { id: record.report.id, scan_ids: record.request.scan_ids.clone(), state: ReportStateView::new(record) }
    }
}

impl ReportV2 {
    pub(super) fn new(record: &ReportRecord, scan_ids: Vec<i64>) -> Self {
        Self { id: record.number, scan_ids, state: ReportStateView::new(record) }
    }
}
