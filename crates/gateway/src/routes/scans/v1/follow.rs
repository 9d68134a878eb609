//! How a scan comes along: its tasks, under the published name of chunks, and what happened to it. Reads only; pages are
//! found by the id of their last row, so that rows which are added meanwhile move nothing.

use actix_web::{
    HttpRequest, HttpResponse, get,
    web::{Data, Json},
};
use jiff::Timestamp;
use picket_domain::{Event, EventBody, EventId, Gap, OrganizationId, Permission, ScanId, TaskId, TaskState, WorkerId};
use picket_store::{
    output,
    scans::{overview::ScanKey, pages, timeline},
    tasks::{
        read::{self, TaskRecord},
        reason::PutBack,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::output::{ROWS, over};
use crate::{
    App, Caller, Id, Problem, Query, RequestContext,
    routes::scans::find,
    streams::{self, Feed, Read, accepts_stream, frame, invalid_event_id, last_event_id},
};

/// Rows of a page when nothing is said, and at most.
const USUAL: u32 = 50;
const MOST: u32 = 100;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list_scan_chunks).service(list_scan_events);
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Keyset {
    /// Rows of the page; 50 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
}

impl Keyset {
    /// One more row than the page has, and the page's number of rows.
    pub(super) fn rows(&self) -> Result<(i64, usize), Problem> {
        page_rows(self.limit)
    }
}

/// One more row than a page of that `limit` has, to know whether there is another, and the page's number of rows.
pub(super) fn page_rows(limit: Option<u32>) -> Result<(i64, usize), Problem> {
    let limit = limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::field("limit", "out_of_range", "expected 1 to 100"));
    }
    Ok((i64::from(limit).saturating_add(1), usize::try_from(limit).unwrap_or(usize::MAX)))
}

/// The id that a cursor is.
pub(super) fn behind<T: std::str::FromStr>(cursor: Option<&str>) -> Result<Option<T>, Problem> {
    cursor.map(|text| text.parse().map_err(|_| invalid_cursor())).transpose()
}

fn invalid_cursor() -> Problem {
    Problem::field("cursor", "invalid_cursor", "expected `next_cursor` of a page")
}

/// The rows of the page, and the cursor behind it when there is more.
pub(super) fn cut<T>(mut rows: Vec<T>, most: usize, id: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    let is_more = rows.len() > most;
    rows.truncate(most);
    let next = rows.last().filter(|_| is_more).map(id);
    (rows, next)
}

/// A page of a scan's tasks.
#[derive(Debug, Serialize, ToSchema)]
struct ChunksV1 {
    /// In the order in which they were planned.
    data: Vec<ChunkV1>,
    /// Tasks of the plan that wait and are not made yet; each is on a page within moments. None is begun in a scan that was
    /// stopped.
    to_come: u64,
    /// `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// A task: one sandboxed run of one tool against a part of the target.
#[derive(Debug, Serialize, ToSchema)]
struct ChunkV1 {
    #[schema(value_type = String)]
    id: TaskId,
    /// `ready`, `queued`, `running`, `done`, `failed` or `cancelled`.
    #[schema(value_type = String, example = "done")]
    state: TaskState,
    #[schema(example = "nmap")]
    tool: String,
    /// The weakest sandbox that it may run in: `L0`, `L1` or `L2`.
    level: &'static str,
    target: String,
    /// The worker that has it, or had it last.
    #[schema(value_type = Option<String>)]
    worker: Option<WorkerId>,
    /// How often it was begun.
    attempt: i32,
    /// How often it went wrong.
    failures: i32,
    /// The tool's exit code, when it exited by itself.
    exit_code: Option<i32>,
    /// Why something is missing from its result; null when nothing is.
    #[schema(value_type = Option<String>)]
    reason: Option<Gap>,
    /// More to say of it.
    detail: Option<String>,
    /// Why it was put back when it was last; null when it never was.
    #[schema(inline)]
    last_reason: Option<PutBackV1>,
    /// Addresses that it examines.
    addresses: u64,
    /// Addresses that were looked at in full; null when a part was, and it is not known how large.
    addresses_done: Option<u64>,
    created_at: Timestamp,
    /// When its last run began.
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
}

/// Why a task was put back.
#[derive(Debug, Serialize, ToSchema)]
struct PutBackV1 {
    /// As `reason`, or `interrupted` when its worker stopped.
    #[schema(example = "worker_lost")]
    code: String,
    detail: Option<String>,
}

impl From<TaskRecord> for ChunkV1 {
    fn from(task: TaskRecord) -> Self {
        let addresses_done = task.addresses_done();
        Self {
            id: task.id,
            state: task.state,
            tool: task.tool,
            level: task.level.name(),
            target: task.target,
            worker: task.worker_id,
            attempt: task.attempt,
            failures: task.failures,
            exit_code: task.exit_code,
            reason: task.gap,
            detail: task.detail,
            last_reason: task.last_reason.map(|PutBack { code, detail }| PutBackV1 { code, detail }),
            addresses: task.addresses,
            addresses_done,
            created_at: task.created_at,
            started_at: task.started_at,
            ended_at: task.ended_at,
        }
    }
}

/// List the tasks of a scan.
#[utoipa::path(
    tag = "scans",
    params(("id" = String, Path, description = "The scan."), Keyset),
    responses((status = 200, description = "A page of its tasks.", body = ChunksV1)),
)]
#[get("/scan/{id}/chunks")]
async fn list_scan_chunks(
    app: Data<App>,
    caller: Caller,
    id: Id<ScanId>,
    Query(page): Query<Keyset>,
) -> Result<Json<ChunksV1>, Problem> {
    caller.may(Permission::ScansRead)?;
    let ((limit, most), cursor) = (page.rows()?, behind::<TaskId>(page.cursor.as_deref())?);
    let (rows, to_come) = app
        .db
        .read("list_scan_chunks", caller.organization_id, async |tx| {
            find(tx, ScanKey::Id(id.0)).await?;
            Ok::<_, Problem>((read::list(tx, id.0, cursor, limit).await?, pages::unmade(tx, id.0).await?))
        })
        .await?;
    let (rows, next_cursor) = cut(rows, most, |task| task.id.to_string());
    Ok(Json(ChunksV1 { data: rows.into_iter().map(ChunkV1::from).collect(), to_come, next_cursor }))
}

/// A page of what happened to a scan.
#[derive(Debug, Serialize, ToSchema)]
struct TimelineV1 {
    /// Oldest first.
    data: Vec<ScanEventV1>,
    /// `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// Something that happened to a scan.
#[derive(Debug, Serialize, ToSchema)]
struct ScanEventV1 {
    #[schema(value_type = String)]
    id: EventId,
    /// What, as webhooks of this dialect name it.
    #[schema(example = "scan.started")]
    event: &'static str,
    at: Timestamp,
    /// Its number in the organization; null for a moment after it happened.
    sequence: Option<i64>,
    /// `scan_id`, and what else belongs to the event.
    #[schema(value_type = Object)]
    data: Value,
}

impl ScanEventV1 {
    fn new(event: &Event) -> Result<Self, Problem> {
        let stored = serde_json::to_value(&event.body).map_err(Problem::internal)?;
        let data = stored.get("data").cloned().unwrap_or_default();
        Ok(Self { id: event.id, event: EventBody::name(&event.body), at: event.at, sequence: event.sequence, data })
    }
}

/// List what happened to a scan, oldest first.
///
/// With `Accept: text/event-stream` the same as a stream: what there is behind `Last-Event-ID` (or `cursor`), and then what
/// happens, each with its id; `end` when the scan has ended and everything was sent. A stream ends with the rights of whoever
/// asked for it.
#[utoipa::path(
    tag = "scans",
    params(("id" = String, Path, description = "The scan."), Keyset),
    responses(
        (status = 200, description = "A page of its events, or the stream of them.", content(
            (TimelineV1 = "application/json"), (String = "text/event-stream")
        )),
    ),
)]
#[get("/scan/{id}/events")]
async fn list_scan_events(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    request: HttpRequest,
    id: Id<ScanId>,
    Query(page): Query<Keyset>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ScansRead)?;
    let cursor = behind::<EventId>(page.cursor.as_deref())?;
    if accepts_stream(request.headers()) {
        if page.limit.is_some() {
            return Err(Problem::field("limit", "not_allowed", "expected no limit of a stream"));
        }
        let last = last_event_id(request.headers())?;
        let last = last.map(|text| text.parse().map_err(|_| invalid_event_id())).transpose()?;
        let place = place(&app, &caller, id.0, last, cursor).await?;
        let feed = Happenings { organization: caller.organization_id, scan: id.0, place };
        return streams::answer(&app, &caller, context, &request, (id.0, feed));
    }
    let (limit, most) = page.rows()?;
    let rows = app
        .db
        .read("list_scan_events", caller.organization_id, async |tx| {
            find(tx, ScanKey::Id(id.0)).await?;
            let place = match cursor {
                None => 0,
                Some(event) => timeline::place(tx, id.0, event).await?.ok_or_else(invalid_cursor)?,
            };
            Ok::<_, Problem>(timeline::list(tx, id.0, place, limit).await?)
        })
        .await?;
    let (rows, next_cursor) = cut(rows, most, |event| event.id.to_string());
    let data = rows.iter().map(ScanEventV1::new).collect::<Result<_, _>>()?;
    Ok(HttpResponse::Ok().json(TimelineV1 { data, next_cursor }))
}

/// Where a stream of the scan's events begins; what a client had last counts before the cursor in its URL, which stays the
/// same when it comes back.
async fn place(
    app: &App,
    caller: &Caller,
    scan: ScanId,
    last: Option<EventId>,
    cursor: Option<EventId>,
) -> Result<i64, Problem> {
    app.db
        .read("find_scan_event", caller.organization_id, async |tx| {
            find(tx, ScanKey::Id(scan)).await?;
            let Some(event) = last.or(cursor) else { return Ok(0) };
            let wrong = if last.is_some() { invalid_event_id } else { invalid_cursor };
            timeline::place(tx, scan, event).await?.ok_or_else(wrong)
        })
        .await
}

/// What happens to a scan, as a stream.
struct Happenings {
    organization: OrganizationId,
    scan: ScanId,
    /// Of the last event that was read.
    place: i64,
}

impl Feed for Happenings {
    async fn read(&mut self, app: &App) -> Result<Read, Problem> {
        let (scan, place) = (self.scan, self.place);
        let (state, rows) = app
            .db
            .read("stream_scan_events", self.organization, async |tx| {
                // In this order: when it had ended, its last event is among the rows.
                let state = output::state(tx, scan).await?;
                Ok::<_, Problem>((state, timeline::list_placed(tx, scan, place, ROWS).await?))
            })
            .await?;
        let is_more = i64::try_from(rows.len()).is_ok_and(|count| count >= ROWS);
        let mut text = String::new();
        for (place, event) in &rows {
            let view = ScanEventV1::new(event)?;
            frame(&mut text, Some(&view.id), view.event, &view)?;
            self.place = *place;
        }
        let is_over = over(&mut text, state.as_deref(), is_more)?;
        Ok(Read { text, is_more, is_over })
    }
}
