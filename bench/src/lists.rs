//! (k) Lists over a million findings of a hundred organizations: a page of scans, of findings, and one scan's findings.

use hyper::StatusCode;
use tokio_postgres::Client as Postgres;

use crate::{
    Failure,
    figure::{Figure, percentile},
    http::Client,
    platform::Platform,
    seeded::{self, Seeded},
};

const ORGANIZATIONS: usize = 100;
/// Scans of each, with so many findings of their own.
const SCANS: i32 = 100;
const FINDINGS: i32 = 100;
/// Requests of each kind over so many connections.
const REQUESTS: usize = 4_000;
const CONNECTIONS: usize = 8;

/// The pages that each organization asks for.
const PAGES: [(&str, &str); 4] = [
    ("GET /scans, a page", "/scans"),
    ("GET /findings, a page", "/findings"),
    ("GET /findings, severity=critical", "/findings?severity=critical"),
    ("GET /findings, target=192.0.2.7", "/findings?target=192.0.2.7"),
];

/// Every scan of the seed once more, and findings for each.
const SEED: [&str; 4] = [
    "INSERT INTO scans (id, organization_id, number, dialect, plan, target, tool, request, notify, gaps, requested_by,
                        created_at, started_at, ended_at, state)
     SELECT gen_random_uuid(), s.organization_id, 1 + n, 'v1', 'custom', '192.0.2.' || n, s.tool, s.request, s.notify,
            s.gaps, s.requested_by, s.created_at - n * interval '1 hour', s.created_at - n * interval '1 hour',
            s.created_at - n * interval '1 hour', 'completed'
     FROM scans AS s, generate_series(1, $1) AS n",
    "UPDATE organization_counters SET scans = $1 + 1",
    "INSERT INTO tasks (id, organization_id, scan_id, tool, pool, level, params, shard, created_at, ready_at, state,
                        attempt, ended_at)
     SELECT gen_random_uuid(), organization_id, id, 'nmap', 'net', 'L2', '{}',
            '{\"target\": \"192.0.2.1\", \"addresses\": [\"192.0.2.1\"], \"hosts\": []}', created_at, created_at, 'done', 1,
            created_at
     FROM scans AS s WHERE state = 'completed' AND $1 > 0",
    "WITH found AS (
       INSERT INTO findings (id, organization_id, fingerprint, rule, host, port, protocol, subject, first_scan_id,
                             first_seen_at, title, severity, description, remediation, last_scan_id, last_seen_at)
       SELECT gen_random_uuid(), t.organization_id, sha256((t.scan_id::text || n)::bytea), 'port.open', '192.0.2.1', n,
              'tcp', n::text, t.scan_id, t.created_at, 'Open port ' || n,
              (ARRAY['critical', 'high', 'medium', 'low', 'info'])[1 + n % 5], 'A service accepts connections.', '',
              t.scan_id, t.created_at
       FROM tasks AS t, generate_series(1, $1) AS n
       WHERE t.state = 'done'
       RETURNING id, organization_id, last_scan_id, last_seen_at, severity
     )
     INSERT INTO sightings (organization_id, scan_id, finding_id, task_id, attempt, seen_at, severity, evidence, sources)
     SELECT f.organization_id, f.last_scan_id, f.id, t.id, 1, f.last_seen_at, f.severity, 'open', ARRAY['nmap']
     FROM found AS f JOIN tasks AS t ON t.scan_id = f.last_scan_id",
];

pub(crate) async fn measure() -> Result<Vec<Figure>, Failure> {
    let platform = Platform::start().await?;
    let seeded = seeded::scans(&platform, ORGANIZATIONS).await?;
    let postgres = platform.database.connect().await;
    for (sql, number) in SEED.iter().zip([SCANS, SCANS, 1, FINDINGS]) {
        postgres.execute(*sql, &[&number]).await.map_err(|error| format!("{error:?}"))?;
    }
    postgres.batch_execute("VACUUM ANALYZE").await?;
    let row = postgres.query_one("SELECT count(*)::float8 FROM findings", &[]).await?;
    eprintln!("bench:   {:.0} findings, load {}", row.try_get::<_, f64>(0)?, crate::figure::load());
    let mut all = Vec::new();
    for (what, path) in PAGES {
        let page = |one: &Seeded| (format!("/api/v1{path}"), one.key.clone());
        all.extend(figures(what, &platform, seeded.iter().map(page).collect()).await?);
    }
    let results = results(&postgres, &seeded).await?;
    all.extend(figures("the findings of a scan", &platform, results).await?);
    Ok(all)
}

/// The results of scans all over the organizations.
async fn results(postgres: &Postgres, seeded: &[Seeded]) -> Result<Vec<(String, String)>, Failure> {
    let mut all = Vec::new();
    let sql = "SELECT id FROM scans WHERE state = 'completed'
               AND organization_id = (SELECT organization_id FROM scans WHERE id = $1) LIMIT 10";
    for one in seeded {
        for row in postgres.query(sql, &[&one.id.uuid()]).await? {
            let id = picket_domain::ScanId::from_uuid(row.try_get(0)?);
            all.push((format!("/api/v1/scan/{id}/result"), one.key.clone()));
        }
    }
    Ok(all)
}

async fn figures(what: &str, platform: &Platform, requests: Vec<(String, String)>) -> Result<[Figure; 2], Failure> {
    let mut lanes = Vec::new();
    for lane in 0..CONNECTIONS {
        let mut client = Client::connect(platform.address, None).await?;
        let own: Vec<_> =
            requests.iter().cycle().skip(lane).step_by(CONNECTIONS).take(REQUESTS / CONNECTIONS).cloned().collect();
        lanes.push(tokio::spawn(async move {
            let mut waits = Vec::new();
            for (path, key) in own {
                let began = std::time::Instant::now();
                client.get(&path, Some(&key), StatusCode::OK).await?;
                waits.push(began.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, Failure>(waits)
        }));
    }
    let mut waits = Vec::new();
    for lane in lanes {
        waits.extend(lane.await??);
    }
    let figure = |percent, waits: &mut Vec<f64>| {
        let name = format!("(k) {what}, a million findings, {CONNECTIONS} connections, p{percent}");
        Figure::new(name, percentile(waits, percent), "ms")
    };
    Ok([figure(50, &mut waits), figure(99, &mut waits)])
}
