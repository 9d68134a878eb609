//! What a client wants of a schedule. The scan in it is read, judged and planned as a create would be, and the plan is
//! thrown away: each tick makes its own.

use jiff::Timestamp;
use picket_domain::{
    Cadence, Dialect, Missed, Overlap, Permission, ReportFormat, ReportOrder, ScheduleId, ScheduleKind, Target,
};
use picket_store::schedules::Schedule;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    App, Caller, FieldError, Problem, RequestContext,
    body::{part, within},
    routes::scans,
};

/// The longest name, in characters.
const LONGEST_NAME: usize = 100;

/// Something to do again and again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduleRequest {
    /// What you call it.
    #[schema(min_length = 1, max_length = 100, example = "each night")]
    name: String,
    /// `scan` or `report`: which of the two bodies below is there.
    #[schema(value_type = String, example = "scan")]
    kind: ScheduleKind,
    /// Five fields of cron: minute, hour, day of month, month, day of week.
    #[schema(max_length = 120, example = "30 2 * * 1-5")]
    cron: String,
    /// The time zone that the fields are meant in; `UTC` when absent.
    #[schema(max_length = 64, example = "Europe/Berlin")]
    time_zone: Option<String>,
    /// How many seconds later than its moment a run may begin, so that not all begin at once: less than there are between
    /// two runs, and at most an hour. 0 when absent.
    #[serde(default)]
    #[schema(maximum = 3600)]
    jitter_seconds: u32,
    /// What a run does while the scan of an earlier one has not ended: `skip` (when absent), `queue` or `replace`.
    #[schema(value_type = Option<String>, example = "skip")]
    overlap: Option<Overlap>,
    /// What becomes of runs that nobody was there for: `skip` (when absent), or `once` to make up for the last of them.
    #[schema(value_type = Option<String>, example = "skip")]
    missed: Option<Missed>,
    /// Whether it is on; yes when absent.
    enabled: Option<bool>,
    /// For `scan`: the body of a create of the version under which this is sent.
    #[schema(value_type = Option<Object>)]
    scan: Option<Value>,
    /// For `report`: its form, and how far it looks back.
    #[schema(value_type = Option<ScheduledReport>)]
    report: Option<Value>,
}

/// A report of the scans that completed lately.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduledReport {
    /// `pdf` (when absent), `html` or `json`.
    #[schema(value_type = Option<String>, example = "pdf")]
    format: Option<ReportFormat>,
    /// Whether it begins with the numbers and what they mean; yes when absent.
    include_executive_summary: Option<bool>,
    /// Whether it describes every finding with its evidence; yes when absent.
    include_technical_details: Option<bool>,
    /// How many days it looks back; 7 when absent. It covers the newest 100 scans.
    #[schema(minimum = 1, maximum = 366)]
    days: Option<u16>,
    /// The target whose scans it covers; all of them when absent.
    #[schema(max_length = 253)]
    target: Option<String>,
}

/// Who asks, of what.
pub(super) struct Owner<'a> {
    pub(super) app: &'a App,
    pub(super) caller: &'a Caller,
    pub(super) context: &'a RequestContext,
}

impl Owner<'_> {
    /// Demands the right to make such things by hand.
    pub(super) fn may_make(&self, kind: ScheduleKind) -> Result<(), Problem> {
        match kind {
            ScheduleKind::Scan => self.caller.may(Permission::ScansWrite),
            ScheduleKind::Report => self.caller.may(Permission::ReportsWrite),
        }
    }

    /// The schedule that a client asks for.
    pub(super) async fn read(
        &self,
        id: ScheduleId,
        request: ScheduleRequest,
        now: Timestamp,
    ) -> Result<Schedule, Problem> {
        self.may_make(request.kind)?;
        let zone = request.time_zone.as_deref().unwrap_or("UTC");
        let cadence = Cadence::parse(&request.cron, zone, request.jitter_seconds, now)
            .map_err(|error| Problem::field(error.field(), "invalid_value", error.to_string()))?;
        let (body, order) = self.order(&request).await?;
        let enabled = request.enabled.unwrap_or(true);
        Ok(Schedule {
            id,
            created_at: now,
            kind: request.kind,
            owner: self.caller.label(),
            updated_at: now,
            name: checked_name(&request.name)?,
            cron: request.cron.split_ascii_whitespace().collect::<Vec<_>>().join(" "),
            time_zone: cadence.zone().to_owned(),
            jitter_seconds: request.jitter_seconds,
            overlap: request.overlap.unwrap_or(Overlap::Skip),
            missed: request.missed.unwrap_or(Missed::Skip),
            enabled,
            body,
            request: order,
            next: if enabled { cadence.after(id, now) } else { None },
        })
    }

    /// As the client asked, and what is planned of it later.
    async fn order(&self, request: &ScheduleRequest) -> Result<(Value, Value), Problem> {
        let (wanted, other, field, other_field) = match request.kind {
            ScheduleKind::Scan => (&request.scan, &request.report, "scan", "report"),
            ScheduleKind::Report => (&request.report, &request.scan, "report", "scan"),
        };
        if other.is_some() {
            let message = format!("expected `{field}` alone in a schedule of this kind");
            return Err(Problem::field(other_field, "conflict", message));
        }
        let body = wanted.as_ref().ok_or_else(|| {
            Problem::field(field, "missing_field", format!("expected `{field}` in a schedule of this kind"))
        })?;
        let order = match request.kind {
            ScheduleKind::Scan => self.scan(body).await?,
            ScheduleKind::Report => report(body)?,
        };
        Ok((body.clone(), order))
    }

    async fn scan(&self, body: &Value) -> Result<Value, Problem> {
        let ask = match self.context.dialect {
            Dialect::V1 => scans::v1::order("scan", body),
            Dialect::V2 => scans::v2::order("scan", body),
        };
        let chosen = ask?.chosen(self.app, self.caller).await.map_err(|problem| within("scan", problem))?;
        let order = chosen.order(self.context.dialect);
        let asker = self.app.asker(self.caller, self.context, &order.target).await?;
        let planned = self.app.planner.plan_order(&asker, &order).await;
        planned.map_err(|refused| within("scan", refused.into()))?;
        serde_json::to_value(order).map_err(Problem::internal)
    }
}

fn report(body: &Value) -> Result<Value, Problem> {
    let wanted: ScheduledReport = part("report", body)?;
    let days = wanted.days.unwrap_or(7);
    if !(1..=ReportOrder::MOST_DAYS).contains(&days) {
        return Err(Problem::field("report.days", "out_of_range", format!("expected 1 to {}", ReportOrder::MOST_DAYS)));
    }
    let target = wanted.target.as_deref().map(Target::parse).transpose();
    let target = target.map_err(|error| Problem::target("report.target", &error))?;
    let order = ReportOrder {
        format: wanted.format.unwrap_or(ReportFormat::Pdf),
        include_executive_summary: wanted.include_executive_summary.unwrap_or(true),
        include_technical_details: wanted.include_technical_details.unwrap_or(true),
        days,
        target: target.map(|target| target.to_string()),
    };
    serde_json::to_value(order).map_err(Problem::internal)
}

fn checked_name(name: &str) -> Result<String, Problem> {
    let name = name.trim();
    if (1..=LONGEST_NAME).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
        return Ok(name.to_owned());
    }
    let message = "expected 1 to 100 characters without control characters";
    Err(Problem::Invalid(vec![FieldError::new("name", "invalid_value", message)]))
}
