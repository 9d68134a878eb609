//! `/admin`: what operators of the platform see and do over HTTP. Nothing here looks at what a customer found. Who operates
//! the platform is set by `picket admin user make-operator`, and looked up anew for each request.

mod halt;
mod queues;
mod repeat;
mod workers;

use actix_web::{
    get,
    web::{Data, Json},
};
use jiff::{SignedDuration, Timestamp};
use picket_store::{halts, platform};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use self::halt::HaltView;
use crate::{App, Caller, Problem, caller::Person};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(get_overview);
    workers::configure(config);
    queues::configure(config);
    halt::configure(config);
}

/// The operator who asks; the first line of every handler here.
async fn operator(app: &App, caller: &Caller) -> Result<Person, Problem> {
    let person = caller.person()?;
    let is_operator = app
        .db
        .look_up("is_operator", async |tx| Ok::<_, Problem>(platform::is_operator(tx, person.user_id).await?))
        .await?;
    if is_operator { Ok(person) } else { Err(Problem::NotAnOperator) }
}

/// Totals of the platform.
#[derive(Debug, Serialize, ToSchema)]
struct OverviewView {
    organizations: i64,
    /// Scans that have not ended.
    scans_open: i64,
    last_hour: LastHourView,
    tasks: TaskTotalsView,
    workers: WorkerTotalsView,
    /// What is stopped by an operator.
    kill_switches: Vec<HaltView>,
    at: Timestamp,
}

/// What happened in the last hour.
#[derive(Debug, Serialize, ToSchema)]
struct LastHourView {
    scans_created: i64,
    scans_completed: i64,
    scans_failed: i64,
    tasks_done: i64,
    tasks_failed: i64,
    /// The part of the tasks that failed, 0 to 1; null when none ended.
    error_rate: Option<f64>,
}

/// What waits and runs.
#[derive(Debug, Serialize, ToSchema)]
struct TaskTotalsView {
    /// Tasks that wait for admission.
    ready: i64,
    /// Tasks that wait for a worker.
    queued: i64,
    running: i64,
    /// How long the oldest waits for admission.
    oldest_ready_seconds: Option<f64>,
}

/// Who works.
#[derive(Debug, Serialize, ToSchema)]
struct WorkerTotalsView {
    live: i64,
    /// Slots of those that take tasks.
    slots: i64,
    busy: i64,
}

/// See totals of the platform.
#[utoipa::path(
    tag = "administration",
    responses((status = 200, description = "Totals.", body = OverviewView))
)]
#[get("/admin/overview")]
async fn get_overview(app: Data<App>, caller: Caller) -> Result<Json<OverviewView>, Problem> {
    operator(&app, &caller).await?;
    let now = app.clock.now();
    let since = now.saturating_sub(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MIN);
    let (totals, halts) = app
        .db
        .operate("get_overview", async |tx| {
            Ok::<_, Problem>((platform::overview(tx, since).await?, halts::list(tx).await?))
        })
        .await?;
    Ok(Json(OverviewView::new(&totals, halts.into_iter().map(HaltView::new).collect(), now)))
}

impl OverviewView {
    fn new(totals: &platform::Overview, kill_switches: Vec<HaltView>, at: Timestamp) -> Self {
        let ended = totals.tasks_done.saturating_add(totals.tasks_failed);
        let number = |count: i64| i32::try_from(count).map_or(f64::from(i32::MAX), f64::from);
        Self {
            organizations: totals.organizations,
            scans_open: totals.scans_open,
            last_hour: LastHourView {
                scans_created: totals.scans_created,
                scans_completed: totals.scans_completed,
                scans_failed: totals.scans_failed,
                tasks_done: totals.tasks_done,
                tasks_failed: totals.tasks_failed,
                error_rate: (ended > 0).then(|| number(totals.tasks_failed) / number(ended)),
            },
            tasks: TaskTotalsView {
                ready: totals.tasks_ready,
                queued: totals.tasks_queued,
                running: totals.tasks_running,
                oldest_ready_seconds: totals.oldest_ready_seconds,
            },
            workers: WorkerTotalsView { live: totals.workers_live, slots: totals.slots, busy: totals.busy },
            kill_switches,
            at,
        }
    }
}
