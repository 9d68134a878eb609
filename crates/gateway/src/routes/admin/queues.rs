//! What waits for workers, and what was given up, as operators see it. The database is asked, not the broker: what is on a
//! queue there is a message about a task, and no task is lost with it.

use actix_web::{
    HttpResponse, get, post,
    web::{Data, Json, Path},
};
use jiff::{SignedDuration, Timestamp};
use picket_domain::{Gap, OrganizationId, Pool, ScanId, TaskId};
use picket_store::{
    dead_letters::{self, DeadLetterCount},
    platform::{self, GivenUp, QueueRow, replay},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    operator,
    repeat::{self, RefusedView, RepeatedView},
};
use crate::{App, Caller, Problem, RequestContext, idempotency};

/// Given-up tasks of one answer, and how far back.
const MOST_GIVEN_UP: i64 = 200;
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Scans of one replay.
const MOST_SCANS: i64 = 1_000;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list_queues).service(replay_queue);
}

/// Every queue, and what was given up.
#[derive(Debug, Serialize, ToSchema)]
struct QueuesView {
    /// Every pool of workers.
    data: Vec<QueueView>,
    /// Tasks that went wrong until they were given up, of the last seven days, latest first, at most 200.
    given_up: Vec<GivenUpView>,
    /// Messages that nobody could take and that the broker put aside, of the last 30 days, by their queue. They are hints:
    /// nothing is lost with one.
    dead_letters: Vec<DeadLettersView>,
}

/// What a queue of the broker has put aside.
#[derive(Debug, Serialize, ToSchema)]
struct DeadLettersView {
    /// The queue; `unknown` where the broker does not say.
    #[schema(example = "tasks.net")]
    queue: String,
    letters: i64,
    /// When the latest was put aside.
    latest_at: Timestamp,
}

/// What waits and runs in a pool.
#[derive(Debug, Serialize, ToSchema)]
struct QueueView {
    /// The pool.
    #[schema(example = "net")]
    name: &'static str,
    /// Tasks that wait for admission.
    ready: i64,
    /// Tasks that wait for a worker.
    queued: i64,
    running: i64,
    /// Tasks that left a result in the last minute.
    done_last_minute: i64,
    /// How long the oldest waits for admission; null when none does.
    oldest_seconds: Option<f64>,
    /// Messages of it that nobody could take, of the last 30 days.
    dead_letters: i64,
    /// The same by organization, the most first.
    organizations: Vec<OrganizationQueueView>,
}

/// What of it one organization has.
#[derive(Debug, Serialize, ToSchema)]
struct OrganizationQueueView {
    #[schema(value_type = String)]
    organization_id: OrganizationId,
    ready: i64,
    queued: i64,
    running: i64,
    done_last_minute: i64,
    oldest_seconds: Option<f64>,
}

/// A task that was given up.
#[derive(Debug, Serialize, ToSchema)]
struct GivenUpView {
    #[schema(value_type = String)]
    id: TaskId,
    /// Its pool.
    queue: &'static str,
    #[schema(value_type = String)]
    organization_id: OrganizationId,
    #[schema(value_type = String)]
    scan_id: ScanId,
    tool: String,
    /// How often it went wrong.
    failures: i32,
    /// Why it was given up.
    #[schema(value_type = String, example = "worker_lost")]
    reason: Gap,
    detail: Option<String>,
    ended_at: Timestamp,
    /// Whether it can be replayed: it was not yet, and nobody stopped its scan. Where that has ended, another scan repeats it.
    replayable: bool,
    /// The scan that repeats it, where it was replayed after the end of its own.
    #[schema(value_type = Option<String>)]
    replayed_as: Option<ScanId>,
}

impl QueueView {
    fn new(pool: Pool, rows: &[QueueRow], dead: &[DeadLetterCount]) -> Self {
        let queue = format!("tasks.{}", pool.name());
        let of: Vec<&QueueRow> = rows.iter().filter(|row| row.pool == pool).collect();
        let sum = |value: fn(&QueueRow) -> i64| of.iter().map(|row| value(row)).sum();
        Self {
            name: pool.name(),
            ready: sum(|row| row.ready),
            queued: sum(|row| row.queued),
            running: sum(|row| row.running),
            done_last_minute: sum(|row| row.done_last_minute),
            oldest_seconds: of.iter().filter_map(|row| row.oldest_seconds).reduce(f64::max),
            dead_letters: dead.iter().filter(|one| one.queue == queue).map(|one| one.letters).sum(),
            organizations: of.into_iter().map(OrganizationQueueView::new).collect(),
        }
    }
}

impl OrganizationQueueView {
    fn new(row: &QueueRow) -> Self {
        let QueueRow { pool: _, organization_id, ready, queued, running, done_last_minute, oldest_seconds } = *row;
        Self { organization_id, ready, queued, running, done_last_minute, oldest_seconds }
    }
}

impl GivenUpView {
    fn new(task: GivenUp) -> Self {
        Self {
            id: task.id,
            queue: task.pool.name(),
            organization_id: task.organization_id,
            scan_id: task.scan_id,
            tool: task.tool,
            failures: task.failures,
            reason: task.gap,
            detail: task.detail,
            ended_at: task.ended_at,
            replayable: task.is_replayable,
            replayed_as: task.replayed_as,
        }
    }
}

/// See what waits for workers, and what was given up.
#[utoipa::path(
    tag = "administration",
    responses((status = 200, description = "Every queue.", body = QueuesView))
)]
#[get("/admin/queues")]
async fn list_queues(app: Data<App>, caller: Caller) -> Result<Json<QueuesView>, Problem> {
    operator(&app, &caller).await?;
    let since = app.clock.now().saturating_sub(LOOK_BACK).unwrap_or(Timestamp::MIN);
    let (rows, given_up, dead) = app
        .db
        .operate("list_queues", async |tx| {
            let rows = platform::queues(tx).await?;
            let given_up = platform::given_up(tx, since, MOST_GIVEN_UP).await?;
            Ok::<_, Problem>((rows, given_up, dead_letters::counts(tx).await?))
        })
        .await?;
    Ok(Json(QueuesView {
        data: Pool::ALL.into_iter().map(|pool| QueueView::new(pool, &rows, &dead)).collect(),
        given_up: given_up.into_iter().map(GivenUpView::new).collect(),
        dead_letters: dead.into_iter().map(DeadLettersView::new).collect(),
    }))
}

impl DeadLettersView {
    fn new(count: DeadLetterCount) -> Self {
        let DeadLetterCount { queue, letters, latest_at } = count;
        Self { queue, letters, latest_at }
    }
}

/// What was replayed.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
struct ReplayedView {
    /// Tasks that wait for a worker again.
    tasks: u64,
    /// The scans that they are of.
    scans: usize,
    /// Of scans that have ended: which scan repeats what was given up.
    repeated: Vec<RepeatedView>,
    /// Scans that have ended and cannot be repeated now.
    refused: Vec<RefusedView>,
}

/// Replay what was given up: each task is tried anew.
///
/// A scan that has ended is not opened again: another one repeats what was given up of it in the last seven days, as `rerun` of
/// what failed does, at most 100 scans at once. Nothing is replayed of a scan that somebody stopped, and nothing twice.
#[utoipa::path(
    tag = "administration",
    params(("name" = String, Path, description = "The pool.")),
    responses((status = 200, description = "What was replayed.", body = ReplayedView))
)]
#[post("/admin/queues/{name}/replay")]
async fn replay_queue(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    name: Path<String>,
) -> Result<HttpResponse, Problem> {
    let person = operator(&app, &caller).await?;
    let now = app.clock.now();
    caller.fresh(now)?;
    let pool = Pool::find(&name).ok_or(Problem::NotFound("queue"))?;
    let found = app
        .db
        .operate("find_given_up", async |tx| Ok::<_, Problem>(replay::open_scans(tx, pool, MOST_SCANS).await?))
        .await?;
    let since = now.saturating_sub(LOOK_BACK).unwrap_or(Timestamp::MIN);
    let ended = repeat::ended(&app, (pool, since), None).await?;
    let (mut replayed, mut response, mut failed) = (ReplayedView::default(), None, None);
    let last = found.last().filter(|_| ended.is_empty()).map(|(_, scan)| *scan);
    for (organization, scan) in found {
        let one = app.db.operate("replay_tasks", async |tx| {
            let replayed = replayed.clone().and(replay::replay(tx, organization, scan, pool, now).await?);
            // The answer speaks of all of them, so it is kept with the last: when that is stored, nothing is left to do.
            let is_answer = last == Some(scan);
            let response = if is_answer { Some(idempotency::keep(&app, tx, answer(&replayed)).await?) } else { None };
            Ok::<_, Problem>((replayed, response))
        });
        match one.await {
            Ok(of) => (replayed, response) = of,
            // One scan that cannot be replayed now keeps no other one waiting.
            Err(problem) => {
                tracing::warn!(scan.id = %scan, error = picket_domain::cause(&problem), "tasks were not replayed");
                failed = Some(problem);
            }
        }
    }
    let (repeated, refused) = repeat::repeat_all(&app, &context, (pool, since), ended).await?;
    let replayed = replayed.with(repeated, refused);
    if let Some(problem) = failed.filter(|_| replayed.tasks == 0 && replayed.refused.is_empty()) {
        return Err(problem);
    }
    let tasks = replayed.tasks;
    tracing::info!(queue = pool.name(), tasks, user.id = %person.user_id, "an operator replays given-up tasks");
    Ok(response.unwrap_or_else(|| answer(&replayed)))
}

fn answer(replayed: &ReplayedView) -> HttpResponse {
    HttpResponse::Ok().json(replayed)
}

impl ReplayedView {
    /// With what was replayed of one more scan.
    fn and(self, tasks: u64) -> Self {
        let scans = self.scans.saturating_add(usize::from(tasks > 0));
        Self { tasks: self.tasks.saturating_add(tasks), scans, ..self }
    }

    /// With what was repeated of scans that have ended.
    fn with(self, repeated: Vec<RepeatedView>, refused: Vec<RefusedView>) -> Self {
        let all = repeated.iter().fold(self, |sum, one| sum.and(u64::try_from(one.tasks).unwrap_or(u64::MAX)));
        Self { repeated, refused, ..all }
    }
}
