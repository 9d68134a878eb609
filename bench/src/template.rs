//! The transaction behind an accepted scan, read back from what the gateway stored, so that it can be issued again
//! without the gateway.

use picket_domain::{
    Authority, Basis, Dialect, Needs, NewScan, NewTask, OrganizationId, Plan, Pool, SandboxLevel, ScanId, ScanLimits,
    TaskId,
};
use picket_kit::Clock;
use serde_json::Value;
use tokio_postgres::Client;

use crate::Failure;

const SCAN: &str = "
SELECT organization_id, target, request, requested_by, traceparent
FROM scans
ORDER BY created_at DESC
LIMIT 1";

const TASKS: &str = "
SELECT tool, pool, level, params, shard
FROM tasks
WHERE scan_id = (SELECT id FROM scans ORDER BY created_at DESC LIMIT 1)";

/// The newest scan of the database as a new one, its ids excepted.
pub(crate) async fn newest(database: &Client, clock: &Clock) -> Result<NewScan, Failure> {
    let row = database.query_one(SCAN, &[]).await?;
    let mut tasks = Vec::new();
    for row in database.query(TASKS, &[]).await? {
        let text = |column: &str| row.try_get::<_, String>(column);
        let tool = picket_scanners::find(&text("tool")?).ok_or("a tool of the catalogue")?;
        let (pool, level) = (text("pool")?, text("level")?);
        tasks.push(NewTask {
            id: TaskId::mint(clock.now()),
            tool: tool.slug(),
            needs: Needs {
                pool: Pool::find(&pool).ok_or("a pool")?,
                level: SandboxLevel::find(&level).ok_or("a level")?,
            },
            params: row.try_get("params")?,
            shard: serde_json::from_value(row.try_get::<_, Value>("shard")?)?,
            opens: Vec::new(),
        });
    }
    Ok(NewScan {
        id: ScanId::mint(clock.now()),
        organization_id: OrganizationId::from_uuid(row.try_get("organization_id")?),
        dialect: Dialect::V1,
        plan: Plan::Custom,
        target: row.try_get("target")?,
        tool: tasks.first().map(|task| task.tool),
        request: row.try_get("request")?,
        notify: Vec::new(),
        gaps: Vec::new(),
        tasks,
        later: Vec::new(),
        authority: Authority::of(Basis::Operator),
        probes: 10_000,
        limits: ScanLimits::default(),
        requested_by: row.try_get("requested_by")?,
        traceparent: row.try_get("traceparent")?,
    })
}

/// The same scan once more, under ids of its own.
pub(crate) fn again(template: &NewScan, organization_id: OrganizationId, clock: &Clock) -> NewScan {
    let now = clock.now();
    let task = |task: &NewTask| NewTask { id: TaskId::mint(now), ..task.clone() };
    let tasks = template.tasks.iter().map(task).collect();
    NewScan { id: ScanId::mint(now), organization_id, tasks, ..template.clone() }
}
