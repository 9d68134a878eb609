//! Schedules as clients see them.

use jiff::Timestamp;
use picket_domain::{ReportId, ScanId, ScheduleId, ScheduleKind};
use picket_store::schedules::{Schedule, ScheduleRun};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A schedule.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScheduleView {
    #[schema(value_type = String, example = "sch_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    id: ScheduleId,
    name: String,
    /// `scan` or `report`.
    kind: &'static str,
    /// Five fields of cron.
    #[schema(example = "30 2 * * 1-5")]
    cron: String,
    /// The time zone that they are meant in.
    #[schema(example = "Europe/Berlin")]
    time_zone: String,
    jitter_seconds: u32,
    /// `skip`, `queue` or `replace`.
    overlap: &'static str,
    /// `skip` or `once`.
    missed: &'static str,
    enabled: bool,
    /// What it scans, as it was sent; null for a report.
    #[schema(value_type = Option<Object>)]
    scan: Option<Value>,
    /// What it reports, as it was sent; null for a scan.
    #[schema(value_type = Option<Object>)]
    report: Option<Value>,
    /// When it runs next, with its jitter; null while it is off.
    next_run: Option<Timestamp>,
    /// The last run.
    last_run: Option<ScheduledRunView>,
    /// Who made it or changed it last.
    owner: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// A schedule with its last runs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScheduleDetailView {
    #[serde(flatten)]
    schedule: ScheduleView,
    /// The last 20, newest first.
    runs: Vec<ScheduledRunView>,
}

/// What became of one run.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct ScheduledRunView {
    /// The moment that the pattern means.
    tick: Timestamp,
    /// When it was decided.
    at: Timestamp,
    /// `started`, `waiting`, `skipped`, `missed` or `refused`.
    #[schema(example = "started")]
    outcome: &'static str,
    /// Why.
    detail: Option<String>,
    /// The scan that it made; it may be deleted by now.
    #[schema(value_type = Option<String>)]
    scan_id: Option<ScanId>,
    /// The number of that scan, its id under v2; null when it is deleted.
    scan_number: Option<i64>,
    /// The state of that scan, as v1 names it; null when it is deleted.
    scan_status: Option<String>,
    /// The report that it made; it may be deleted by now.
    #[schema(value_type = Option<String>)]
    report_id: Option<ReportId>,
}

impl ScheduleView {
    pub(super) fn new(schedule: Schedule, last: Option<&ScheduleRun>) -> Self {
        let (scan, report) = match schedule.kind {
            ScheduleKind::Scan => (Some(schedule.body), None),
            ScheduleKind::Report => (None, Some(schedule.body)),
        };
        Self {
            id: schedule.id,
            name: schedule.name,
            kind: schedule.kind.name(),
            cron: schedule.cron,
            time_zone: schedule.time_zone,
            jitter_seconds: schedule.jitter_seconds,
            overlap: schedule.overlap.name(),
            missed: schedule.missed.name(),
            enabled: schedule.enabled,
            scan,
            report,
            next_run: schedule.next.map(|tick| tick.run_at),
            last_run: last.map(ScheduledRunView::new),
            owner: schedule.owner,
            created_at: schedule.created_at,
            updated_at: schedule.updated_at,
        }
    }
}

impl ScheduleDetailView {
    pub(super) fn new(schedule: Schedule, runs: &[ScheduleRun]) -> Self {
        let schedule = ScheduleView::new(schedule, runs.first());
        Self { schedule, runs: runs.iter().map(ScheduledRunView::new).collect() }
    }
}

impl ScheduledRunView {
    fn new(run: &ScheduleRun) -> Self {
        Self {
            tick: run.tick_at,
            at: run.decided_at,
            outcome: run.outcome.name(),
            detail: run.detail.clone(),
            scan_id: run.scan_id,
            scan_number: run.scan_number,
            scan_status: run.scan_state.clone(),
            report_id: run.report_id,
        }
    }
}
