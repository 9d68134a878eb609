//! What actix-web does by itself: a handler that returns a constant, and the handler of `GET /scan/{id}` with its one
//! bare query: the same view of the same row on pools of the same size, for anybody who asks, uncounted and unlogged.

use std::net::SocketAddr;

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, web};
use deadpool_postgres::{Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod};
use jiff::Timestamp;
use picket_domain::ScanId;
use picket_testkit::Database;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::{
    Config, NoTls, Row,
    types::{Json, ToSql},
};
use uuid::Uuid;

use crate::{Failure, platform::CONNECTIONS};

/// What the gateway's statement reads, as the connection's own role and without a tenant.
const QUERY: &str = "
SELECT s.id, s.target, s.tool, s.plan, s.request, s.notify, s.gaps, s.created_at, s.state, s.started_at, s.ended_at, s.failure,
       s.profile, s.profile_version, s.rerun_of, f.severities, f.sightings,
       ARRAY(SELECT json_build_array(t.tool, t.state, t.gap, t.detail, t.shard ->> 'target')
             FROM tasks AS t WHERE t.scan_id = $1 ORDER BY t.id) AS tasks
FROM scans AS s
CROSS JOIN (SELECT array_agg(severity) AS severities, array_agg(found) AS sightings
            FROM (SELECT g.severity, count(*) AS found
                  FROM sightings AS g WHERE g.scan_id = $1 GROUP BY g.severity) AS counted) AS f
WHERE s.id = $1";

/// A running server; it stops with the bench.
pub(crate) struct Bare {
    pub(crate) address: SocketAddr,
    handle: ServerHandle,
}

/// The view of a scan, field by field as the API shows it.
#[derive(Serialize)]
struct View {
    id: ScanId,
    status: String,
    target: String,
    tool: Option<String>,
    created_at: Timestamp,
    scan_type: String,
    profile: Option<String>,
    profile_version: Option<i32>,
    rerun_of: Option<ScanId>,
    started_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    duration_ms: Option<i64>,
    findings: Findings,
    parameters: Value,
    notify: Vec<String>,
    progress: usize,
    tasks: Tasks,
    coverage: Vec<Line>,
    message: Option<String>,
}

#[derive(Default, Serialize)]
struct Findings {
    total: i64,
    critical: i64,
    high: i64,
    medium: i64,
    low: i64,
    info: i64,
}

#[derive(Serialize)]
struct Tasks {
    total: usize,
    ended: usize,
}

#[derive(Serialize)]
struct Line {
    tool: String,
    target: String,
    state: &'static str,
    reason: Option<String>,
    detail: Option<String>,
    tasks: u32,
}

impl Bare {
    pub(crate) async fn start(database: &Database) -> Result<Self, Failure> {
        let config: Config = database.url().parse()?;
        let threads = std::thread::available_parallelism()?.get();
        // Each thread has its share, as in the gateway.
        let share = CONNECTIONS.checked_div(threads).unwrap_or(1).max(1);
        let server = HttpServer::new(move || {
            let manager =
                Manager::from_config(config.clone(), NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
            let pool = Pool::builder(manager).max_size(share).queue_mode(QueueMode::Lifo).build().ok();
            App::new()
                .app_data(web::Data::new(pool))
                .route("/constant", web::get().to(async || HttpResponse::Ok().body(r#"{"status":"created"}"#)))
                .route("/query/{id}", web::get().to(query))
        })
        .workers(threads)
        .keep_alive(std::time::Duration::from_secs(75))
        .client_request_timeout(std::time::Duration::from_secs(75))
        .disable_signals()
        .bind(("127.0.0.1", 0))?;
        let address = server.addrs().first().copied().ok_or("no address")?;
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Ok(Self { address, handle })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

async fn query(pool: web::Data<Option<Pool>>, id: web::Path<String>) -> HttpResponse {
    match one_row(&pool, &id).await {
        Ok(view) => HttpResponse::Ok().json(view),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

async fn one_row(pool: &Option<Pool>, id: &str) -> Result<View, Failure> {
    let id = id.parse::<ScanId>()?.uuid();
    let client = pool.as_ref().ok_or("no pool")?.get().await?;
    let statement = client.prepare_cached(QUERY).await?;
    let parameters: [&(dyn ToSql + Sync); 1] = [&id];
    view(&client.query_one(&statement, &parameters).await?)
}

fn view(row: &Row) -> Result<View, Failure> {
    let coverage = coverage(row)?;
    let ended = coverage.iter().filter(|line| line.state != "pending").count();
    let total = coverage.len();
    let (started_at, completed_at) = (row.try_get("started_at")?, row.try_get("ended_at")?);
    Ok(View {
        id: ScanId::from_uuid(row.try_get("id")?),
        status: row.try_get("state")?,
        target: row.try_get("target")?,
        tool: row.try_get("tool")?,
        created_at: row.try_get("created_at")?,
        scan_type: row.try_get("plan")?,
        profile: row.try_get("profile")?,
        profile_version: row.try_get("profile_version")?,
        rerun_of: row.try_get::<_, Option<Uuid>>("rerun_of")?.map(ScanId::from_uuid),
        started_at,
        completed_at,
        duration_ms: milliseconds(started_at, completed_at),
        findings: findings(row)?,
        parameters: row.try_get("request")?,
        notify: row.try_get("notify")?,
        progress: ended.saturating_mul(100).checked_div(total).unwrap_or(0),
        tasks: Tasks { total, ended },
        coverage,
        message: row.try_get("failure")?,
    })
}

fn milliseconds(from: Option<Timestamp>, to: Option<Timestamp>) -> Option<i64> {
    i64::try_from(to?.duration_since(from?).as_millis()).ok()
}

fn findings(row: &Row) -> Result<Findings, Failure> {
    let severities = row.try_get::<_, Option<Vec<&str>>>("severities")?.unwrap_or_default();
    let found = row.try_get::<_, Option<Vec<i64>>>("sightings")?.unwrap_or_default();
    let mut all = Findings::default();
    for (severity, found) in severities.into_iter().zip(found) {
        let slot = match severity {
            "critical" => &mut all.critical,
            "high" => &mut all.high,
            "medium" => &mut all.medium,
            "low" => &mut all.low,
            _ => &mut all.info,
        };
        *slot = slot.saturating_add(found);
        all.total = all.total.saturating_add(found);
    }
    Ok(all)
}

/// A line for each task; the scans here have one.
fn coverage(row: &Row) -> Result<Vec<Line>, Failure> {
    type Task = (String, String, Option<String>, Option<String>, String);
    let Json(_gaps) = row.try_get::<_, Json<Vec<Value>>>("gaps")?;
    let tasks: Vec<Json<Task>> = row.try_get("tasks")?;
    let line = |Json((tool, state, reason, detail, target)): Json<Task>| {
        let state = if ["done", "failed", "cancelled"].contains(&state.as_str()) { "done" } else { "pending" };
        Line { tool, target, state, reason, detail, tasks: 1 }
    };
    Ok(tasks.into_iter().map(line).collect())
}
