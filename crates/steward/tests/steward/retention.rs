//! Results by age: what goes, what stays, and what is said of it.

use picket_blobs::{BlobKey, Blobs};
use picket_domain::{OrganizationId, ReportFormat, ReportId, Subscription};
use picket_steward::Retention;
use picket_testkit::seed;
use serde_json::{Value, json};

use crate::stage::{Stage, store};

const SCAN: &str = "INSERT INTO scans (id, organization_id, number, dialect, plan, target, tool, request, requested_by,
                                       created_at, state, started_at, ended_at)
                    SELECT gen_random_uuid(), $1, $2, 'v1', 'custom', '127.0.0.1', 'nmap', '{}', 'usr_x', at, state, at,
                           CASE WHEN state = 'completed' THEN at END
                    FROM (SELECT '2026-01-15T14:30:00Z'::timestamptz - make_interval(days => $3) AS at, $4::text AS state)
                         AS one";
const TASKS: &str = "INSERT INTO tasks (id, organization_id, scan_id, tool, pool, level, params, shard, created_at, state,
                                        ready_at, ended_at)
                     SELECT gen_random_uuid(), s.organization_id, s.id, 'nmap', 'net', 'L2', '{}', '{}', s.created_at, 'done',
                            s.created_at, s.created_at
                     FROM scans AS s, generate_series(1, 2)
                     WHERE s.organization_id = $1 AND s.number = $2";
const FINDING: &str = "INSERT INTO findings (id, organization_id, fingerprint, rule, host, subject, first_scan_id,
                                             first_seen_at, title, severity, description, remediation, last_scan_id,
                                             last_seen_at)
                       SELECT gen_random_uuid(), s.organization_id, sha256($3::text::bytea), 'x', '127.0.0.1', $3, s.id,
                              s.created_at, $3, 'low', '', '', s.id, s.created_at
                       FROM scans AS s
                       WHERE s.organization_id = $1 AND s.number = $2
                       ON CONFLICT (organization_id, fingerprint)
                       DO UPDATE SET last_seen_at = excluded.last_seen_at, last_scan_id = excluded.last_scan_id";
const SIGHTING: &str =
    "INSERT INTO sightings (organization_id, scan_id, finding_id, task_id, attempt, severity, evidence,
                                               seen_at)
                        SELECT s.organization_id, s.id, f.id, t.id, 1, 'low', '', s.created_at
                        FROM scans AS s, findings AS f,
                             LATERAL (SELECT id FROM tasks WHERE scan_id = s.id LIMIT 1) AS t
                        WHERE s.organization_id = $1 AND s.number = $2 AND f.organization_id = $1 AND f.title = $3";

/// A scan of so many days ago that saw these.
async fn scan(stage: &Stage, organization: OrganizationId, number: i64, days: i32, state: &str, sees: &[&str]) {
    let (client, id) = (stage.database.connect().await, organization.uuid());
    client.execute(SCAN, &[&id, &number, &days, &state]).await.unwrap();
    client.execute(TASKS, &[&id, &number]).await.unwrap();
    for title in sees {
        client.execute(FINDING, &[&id, &number, title]).await.unwrap();
        assert_eq!(client.execute(SIGHTING, &[&id, &number, title]).await.unwrap(), 1);
    }
}

async fn numbers(stage: &Stage, organization: OrganizationId) -> Vec<i64> {
    let sql = "SELECT number FROM scans WHERE organization_id = $1 ORDER BY number";
    let rows = stage.database.connect().await.query(sql, &[&organization.uuid()]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn keep(stage: &Stage, organization: OrganizationId, days: i32) {
    let sql = "UPDATE organizations SET retention_days = $2 WHERE id = $1";
    stage.database.connect().await.execute(sql, &[&organization.uuid(), &days]).await.unwrap();
}

/// What the audit log says was removed.
async fn removals(stage: &Stage) -> Vec<Value> {
    let sql = "SELECT entry FROM audit_log WHERE action = 'results.removed' ORDER BY organization_id, sequence";
    let rows = stage.database.connect().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect()
}

fn retention(stage: &Stage, blobs: &Blobs) -> Retention {
    Retention::new(stage.db.clone(), blobs.clone(), stage.clock.clone())
}

/// A report of so many days ago about the scan of that number, with documents of two attempts and a logo.
async fn report(stage: &Stage, blobs: &Blobs, number: i64, days: i32, state: &str) -> Vec<BlobKey> {
    let id = ReportId::mint(stage.clock.now());
    let sql =
        "INSERT INTO reports (id, organization_id, number, format, scan_ids, request, requested_by, created_at, state,
                                    attempt, ended_at, size_bytes, sha256)
               SELECT $1, $2, $3, 'html', ARRAY[s.id], '{}', 'usr_x', at, $5, 2, CASE WHEN $5 = 'done' THEN at END,
                      CASE WHEN $5 = 'done' THEN 1 END, CASE WHEN $5 = 'done' THEN 'x' END
               FROM (SELECT '2026-01-15T14:30:00Z'::timestamptz - make_interval(days => $4) AS at) AS one, scans AS s
               WHERE s.organization_id = $2 AND s.number = $3";
    let organization = stage.organization;
    let client = stage.database.connect().await;
    let made = client.execute(sql, &[&id.uuid(), &organization.uuid(), &number, &days, &state]).await.unwrap();
    assert_eq!(made, 1);
    let document = |attempt| BlobKey::report(organization, id, attempt, ReportFormat::Html);
    let keys = vec![document(1), document(2), BlobKey::report_logo(organization, id)];
    for key in &keys {
        blobs.put(key, bytes::Bytes::from_static(b"x")).await.unwrap();
    }
    keys
}

async fn are_there(blobs: &Blobs, keys: &[BlobKey]) -> Vec<bool> {
    let mut there = Vec::new();
    for key in keys {
        there.push(blobs.head(key).await.is_ok());
    }
    there
}

#[tokio::test]
async fn what_is_older_than_its_organization_keeps_it_goes_as_a_whole_and_once() {
    let (stage, (_folder, blobs)) = (Stage::new().await, store());
    let organization = stage.organization;
    keep(&stage, organization, 30).await;
    scan(&stage, organization, 1, 31, "completed", &["only then", "still there"]).await;
    scan(&stage, organization, 2, 10, "completed", &["still there"]).await;
    scan(&stage, organization, 3, 29, "completed", &["fresh"]).await;
    // However long it takes: it has not ended.
    scan(&stage, organization, 4, 40, "running", &["under way"]).await;
    let (one, other) = (retention(&stage, &blobs), retention(&stage, &blobs));
    let (first, second) = tokio::join!(one.remove(), other.remove());
    assert_eq!(first.unwrap().0 + second.unwrap().0, 1);
    assert_eq!(numbers(&stage, organization).await, [2, 3, 4]);
    assert_eq!(stage.count("SELECT count(*) FROM tasks").await, 6);
    assert_eq!(stage.count("SELECT count(*) FROM sightings").await, 3);
    assert_eq!(stage.count("SELECT count(*) FROM findings").await, 3);
    assert_eq!(stage.count("SELECT count(*) FROM findings WHERE title = 'only then'").await, 0);
    let said = removals(&stage).await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!((&said[0]["actor"], &said[0]["object"]), (&json!("retention"), &said[0]["object"]));
    let counts = json!({"ended_before": "2025-12-16T14:30:00Z", "scans": 1, "tasks": 2, "sightings": 2, "findings": 1});
    assert_eq!(said[0]["after"], counts);
    assert_eq!(one.remove().await.unwrap(), (0, false));
}

#[tokio::test]
async fn the_plan_bounds_what_is_kept_and_nothing_of_the_suspended_goes() {
    let (stage, (_folder, blobs)) = (Stage::new().await, store());
    let trial = seed::organization(&stage.database, Subscription::Trial).await;
    let suspended = seed::organization(&stage.database, Subscription::Trial).await;
    keep(&stage, trial, 1_000).await;
    let sql = "UPDATE organizations SET suspended_at = now(), suspended_reason = 'x' WHERE id = $1";
    stage.database.connect().await.execute(sql, &[&suspended.uuid()]).await.unwrap();
    for organization in [stage.organization, trial, suspended] {
        scan(&stage, organization, 1, 31, "completed", &[]).await;
        scan(&stage, organization, 2, 29, "completed", &[]).await;
    }
    assert_eq!(retention(&stage, &blobs).remove().await.unwrap(), (1, true));
    assert_eq!(numbers(&stage, stage.organization).await, [1, 2], "this plan keeps results for three years");
    assert_eq!(numbers(&stage, trial).await, [2]);
    assert_eq!(numbers(&stage, suspended).await, [1, 2]);
}

#[tokio::test]
async fn old_reports_go_with_their_documents_and_a_scan_waits_for_the_report_of_it() {
    let (stage, (_folder, blobs)) = (Stage::new().await, store());
    keep(&stage, stage.organization, 30).await;
    for number in 1..=3 {
        scan(&stage, stage.organization, number, 60, "completed", &["x"]).await;
    }
    let old = report(&stage, &blobs, 1, 31, "done").await;
    let young = report(&stage, &blobs, 2, 29, "done").await;
    report(&stage, &blobs, 3, 31, "queued").await;
    let retention = retention(&stage, &blobs);
    assert_eq!(retention.remove().await.unwrap(), (3, true), "two scans and a report");
    assert_eq!(numbers(&stage, stage.organization).await, [3]);
    assert_eq!(stage.count("SELECT count(*) FROM findings").await, 1, "the waiting scan saw it, too");
    assert_eq!(are_there(&blobs, &old).await, [false; 3]);
    assert_eq!(are_there(&blobs, &young).await, [true; 3]);
    assert_eq!(retention.remove().await.unwrap(), (0, false), "what waits is not looked at again and again");
    assert_eq!(removals(&stage).await.len(), 2);
    let end = "UPDATE reports SET state = 'failed', failure = 'x', ended_at = created_at WHERE state = 'queued'";
    stage.database.connect().await.execute(end, &[]).await.unwrap();
    assert_eq!(retention.remove().await.unwrap(), (2, true));
    assert_eq!(stage.count("SELECT count(*) FROM scans").await + stage.count("SELECT count(*) FROM findings").await, 0);
    assert_eq!(stage.count("SELECT count(*) FROM reports").await, 1);
}

#[tokio::test]
async fn a_finding_whose_last_scan_went_first_goes_with_the_one_before() {
    let (stage, (_folder, blobs)) = (Stage::new().await, store());
    let organization = stage.organization;
    keep(&stage, organization, 30).await;
    scan(&stage, organization, 1, 40, "completed", &["long seen"]).await;
    scan(&stage, organization, 2, 35, "completed", &["long seen"]).await;
    // It saw the finding first and ended last.
    let late = "UPDATE scans SET ended_at = ended_at + interval '20 days' WHERE number = 1";
    assert_eq!(stage.database.connect().await.execute(late, &[]).await.unwrap(), 1);
    assert_eq!(retention(&stage, &blobs).remove().await.unwrap().0, 1);
    assert_eq!(numbers(&stage, organization).await, [1]);
    let known = "SELECT count(*) FROM findings AS f JOIN scans AS s ON s.id = f.last_scan_id WHERE s.number = 1";
    assert_eq!(stage.count(known).await, 1, "the scan that is left is the last that saw it");
    keep(&stage, organization, 15).await;
    assert_eq!(retention(&stage, &blobs).remove().await.unwrap().0, 1);
    assert_eq!(stage.count("SELECT count(*) FROM findings").await, 0);
}

#[tokio::test]
async fn a_turn_is_bounded_and_the_loop_goes_on_until_nothing_is_old() {
    let (stage, (_folder, blobs)) = (Stage::new().await, store());
    let client = stage.database.connect().await;
    let sql = SCAN.replacen("$2, 'v1'", "number, 'v1'", 1) + ", generate_series(1, $2::bigint) AS number";
    client.execute(&sql, &[&stage.organization.uuid(), &250_i64, &2_000_i32, &"completed"]).await.unwrap();
    let retention = retention(&stage, &blobs);
    let mut went = Vec::new();
    while went.last() != Some(&(0, false)) {
        went.push(retention.remove().await.unwrap());
    }
    assert_eq!(went, [(100, true), (100, true), (50, true), (0, false)]);
    assert_eq!(removals(&stage).await.len(), 3);
}

#[tokio::test]
async fn a_finding_that_is_seen_at_this_moment_stays() {
    let (stage, (_folder, blobs)) = (Stage::new().await, store());
    keep(&stage, stage.organization, 30).await;
    scan(&stage, stage.organization, 1, 31, "completed", &["seen again"]).await;
    scan(&stage, stage.organization, 2, 0, "running", &[]).await;
    let mut client = stage.database.connect().await;
    let worker = client.transaction().await.unwrap();
    let id = stage.organization.uuid();
    worker.execute(FINDING, &[&id, &2_i64, &"seen again"]).await.unwrap();
    assert_eq!(retention(&stage, &blobs).remove().await.unwrap(), (1, true));
    assert_eq!(worker.execute(SIGHTING, &[&id, &2_i64, &"seen again"]).await.unwrap(), 1);
    worker.commit().await.unwrap();
    assert_eq!(stage.count("SELECT count(*) FROM sightings").await, 1);
}
