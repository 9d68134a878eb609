//! The checker finds what it is there for: each invariant is broken by hand once.

use std::collections::BTreeSet;

use picket_domain::{OrganizationId, Subscription};
use picket_testkit::{Database, seed};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::checker;

/// A platform that did one scan with one finding, told one webhook of it, and breaks nothing. By hand: no process runs.
const WELL: &str = "
    INSERT INTO scans (id, organization_id, number, dialect, plan, target, request, requested_by, created_at, state)
        VALUES ($scan, $own, 1, 'v1', 'custom', 'own-word.test', '{}', 'test', now(), 'created');
    INSERT INTO tasks (id, organization_id, scan_id, tool, pool, level, params, shard, created_at, ready_at)
        VALUES ($task, $own, $scan, 'nmap', 'net', 'L2', '{}', '{}', now(), now());
    UPDATE tasks SET state = 'queued', queued_at = now();
    UPDATE scans SET state = 'running', started_at = now();
    UPDATE tasks SET state = 'running', attempt = 1, worker_id = $task, lease_until = now() + interval '1 minute';
    UPDATE tasks SET state = 'done', exit_code = 0, ended_at = now(), lease_until = NULL;
    INSERT INTO findings (id, organization_id, fingerprint, rule, host, subject, first_scan_id, first_seen_at, title,
                          severity, description, remediation, last_scan_id, last_seen_at)
        VALUES ($finding, $own, sha256('x'), 'r', 'h', 's', $scan, now(), 't', 'low', '', '', $scan, now());
    INSERT INTO sightings (organization_id, scan_id, finding_id, task_id, attempt, severity, evidence, seen_at)
        VALUES ($own, $scan, $finding, $task, 1, 'low', '', now());
    UPDATE scans SET state = 'completed', ended_at = now();
    INSERT INTO webhooks (id, organization_id, dialect, created_at, url, events, secret)
        VALUES ($hook, $own, 'v1', now() - interval '1 hour', 'http://x', '{scan.completed}', '');
    INSERT INTO events (id, organization_id, name, routing_key, public, scan_id, body, at, sequence, published_at, fanned_out_at)
        SELECT id::uuid, $own, name, name, true, $scan, '{}', now(), number, now(), now()
        FROM (VALUES ($one, 'scan.created', 1), ($two, 'scan.started', 2), ($three, 'scan.completed', 3)) AS e (id, name, number);
    INSERT INTO deliveries (id, organization_id, webhook_id, event_id, event, body, created_at, state, ended_at)
        VALUES ($hook, $own, $hook, $three, 'scan.completed', '', now(), 'delivered', now());
    INSERT INTO faults.listens VALUES ($hook);
    INSERT INTO faults.heard VALUES ($hook, $three, 'body', 200);
    INSERT INTO faults.accepted (scan_id, wire, findings) VALUES ($scan, 'scn_1', 1);
    SELECT picket_audit($own, now(), '{\"action\": \"scan.created\", \"actor\": \"test\", \"object\": \"scn_1\"}')";

struct Planted {
    _database: Database,
    client: Client,
    names: Vec<(&'static str, String)>,
}

impl Planted {
    async fn new() -> Self {
        let database = Database::new().await;
        checker::begin(&database).await;
        let own = seed::organization(&database, Subscription::Trial).await;
        let other = seed::organization(&database, Subscription::Trial).await;
        checker::mark(&database, own, "own-word").await;
        let id = |id: Uuid| format!("'{id}'::uuid");
        let of = |organization: OrganizationId| id(organization.uuid());
        let mut names = vec![("$own", of(own)), ("$other", of(other))];
        let kinds = ["$scan", "$task", "$finding", "$hook", "$one", "$two", "$three"];
        names.extend(kinds.map(|name| (name, id(OrganizationId::mint(picket_kit::Clock::system().now()).uuid()))));
        let planted = Self { client: database.connect().await, _database: database, names };
        planted.plant(WELL).await;
        planted
    }

    async fn plant(&self, sql: &str) {
        let sql = self.names.iter().fold(sql.to_owned(), |sql, (name, value)| sql.replace(name, value));
        self.client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The questions that find something, each as its invariant and its number.
    async fn broken(&self) -> BTreeSet<(&'static str, usize)> {
        checker::ask(&self.client).await.iter().map(|violation| (violation.invariant, violation.branch)).collect()
    }
}

/// What is done by hand, past every trigger and key, and which invariants that breaks.
const VIOLATIONS: &[(&str, &[&str])] = &[
    ("DELETE FROM sightings; DELETE FROM events; DELETE FROM tasks; DELETE FROM scans", &["1", "3"]),
    ("UPDATE scans SET state = 'running', ended_at = NULL", &["1"]),
    ("UPDATE tasks SET state = 'running', ended_at = NULL, lease_until = now()", &["1", "2", "6"]),
    ("UPDATE sightings SET attempt = 2", &["2"]),
    ("INSERT INTO faults.history (kind, id, organization_id, was, becomes) VALUES ('tasks', $task, $own, 'done', 'done')", &["2"]),
    ("UPDATE events SET published_at = NULL WHERE id = $one", &["3"]),
    ("UPDATE events SET fanned_out_at = NULL WHERE id = $one", &["3"]),
    ("UPDATE events SET sequence = 9 WHERE id = $three", &["3"]),
    ("UPDATE events SET sequence = 4 - sequence + 10; UPDATE events SET sequence = sequence - 10", &["3"]),
    ("DELETE FROM deliveries", &["3"]),
    ("DELETE FROM faults.heard", &["3"]),
    ("INSERT INTO faults.heard VALUES ($hook, $three, 'another body', 200)", &["3"]),
    ("ALTER TABLE findings DROP CONSTRAINT a_finding_is_known_once, ALTER gravity DROP EXPRESSION; CREATE TEMP TABLE copy AS SELECT * FROM findings;
      UPDATE copy SET id = $task; INSERT INTO findings SELECT * FROM copy", &["4"]),
    ("UPDATE faults.accepted SET findings = 2", &["4"]),
    ("INSERT INTO tasks (id, organization_id, scan_id, grown_from, tool, pool, level, params, shard, created_at, ready_at, state, gap, ended_at)
      SELECT gen_random_uuid(), $own, $scan, $task, 'ssh-audit', 'tls', 'L2', '{\"port\": 22}', '{}', now(), now(), 'failed', 'tool_failed', now()
      FROM generate_series(1, 2)", &["4"]),
    ("INSERT INTO tasks (id, organization_id, scan_id, grown_from, tool, pool, level, params, shard, created_at, ready_at, state, gap, ended_at)
      VALUES (gen_random_uuid(), $own, $scan, $hook, 'ssh-audit', 'tls', 'L2', '{}', '{}', now(), now(), 'failed', 'tool_failed', now())", &["4"]),
    ("UPDATE tasks SET organization_id = $other", &["5"]),
    ("UPDATE findings SET title = 'own-word', organization_id = $other; UPDATE sightings SET organization_id = $other", &["5"]),
    ("INSERT INTO faults.history (kind, id, organization_id, was, becomes)
      SELECT 'tasks', gen_random_uuid(), $own, 'ready', 'queued' FROM generate_series(1, 3)", &["6"]),
    ("INSERT INTO faults.history (kind, id, organization_id, becomes)
      SELECT 'scans', gen_random_uuid(), $own, 'created' FROM generate_series(1, 6)", &["6"]),
    ("UPDATE audit_log SET hash = sha256('y')", &["7"]),
    ("DELETE FROM audit_log", &["7"]),
    ("INSERT INTO faults.leftovers VALUES ('a process')", &["8"]),
    ("INSERT INTO reports (id, organization_id, number, format, scan_ids, request, requested_by, created_at)
      VALUES ($hook, $own, 1, 'json', ARRAY[$scan], '{}', 'test', now())", &["1"]),
    ("INSERT INTO faults.history (kind, id, organization_id, was, becomes) VALUES ('tasks', $task, $own, 'done', 'running')", &["2"]),
    ("UPDATE tasks SET state = 'failed', gap = 'tool_failed'", &["2", "10"]),
    ("INSERT INTO events (id, organization_id, name, routing_key, public, scan_id, body, at, sequence, published_at, fanned_out_at)
      VALUES ($task, $own, 'scan.failed', 'scan.failed', true, $scan, '{}', now(), 4, now(), now())", &["2"]),
    ("INSERT INTO events (id, organization_id, name, routing_key, public, scan_id, body, at, sequence, published_at, fanned_out_at)
      VALUES ($task, $own, 'scan.started', 'scan.started', true, $scan, '{}', now(), 4, now(), now())", &["2"]),
    ("DELETE FROM events WHERE id = $two", &["3"]),
    ("UPDATE deliveries SET state = 'sending', ended_at = NULL, lease_until = now() - interval '1 minute'", &["3", "6"]),
    ("INSERT INTO faults.heard VALUES ($hook, $task, 'body', 200)", &["3"]),
    ("ALTER TABLE findings DROP CONSTRAINT a_finding_is_known_once, ALTER gravity DROP EXPRESSION; CREATE TEMP TABLE known AS SELECT * FROM findings;
      UPDATE known SET id = $task; INSERT INTO findings SELECT * FROM known; CREATE TEMP TABLE seen AS SELECT * FROM sightings;
      UPDATE seen SET finding_id = $task; INSERT INTO sightings SELECT * FROM seen", &["4"]),
    ("INSERT INTO events (id, organization_id, name, routing_key, public, body, at, sequence, published_at, fanned_out_at)
      SELECT gen_random_uuid(), $own, 'finding.found', 'finding.found', true, '{\"data\": {\"finding_id\": \"fnd_1\"}}', now(), n, now(), now()
      FROM generate_series(4, 5) AS n", &["4"]),
    ("ALTER TABLE deliveries DROP CONSTRAINT a_delivery_is_made_once; CREATE TEMP TABLE made AS SELECT * FROM deliveries;
      UPDATE made SET id = $task; INSERT INTO deliveries SELECT * FROM made", &["4"]),
    ("INSERT INTO schedules (id, organization_id, created_at, kind, owner, updated_at, name, cron, time_zone, jitter_seconds,
                             overlap, missed, enabled, body, request)
      VALUES ($hook, $own, now(), 'scan', 'test', now(), 'n', '* * * * *', 'UTC', 0, 'skip', 'skip', false, '{}', '{}')", &["4"]),
    ("INSERT INTO schedule_runs (organization_id, schedule_id, tick_at, decided_at, outcome, scan_id)
      VALUES ($own, $hook, now(), now(), 'started', $task)", &["4"]),
    ("UPDATE events SET organization_id = $other WHERE id = $one", &["5"]),
    ("UPDATE deliveries SET organization_id = $other", &["5"]),
    ("INSERT INTO faults.audited VALUES ('report.requested', 'rep_1')", &["7"]),
    ("INSERT INTO faults.history (kind, id, organization_id, becomes) VALUES ('scans', $hook, $own, 'completed')", &["7"]),
    ("INSERT INTO faults.history (kind, id, organization_id, becomes)
      VALUES ('scans', $hook, $own, 'completed'), ('scans', $task, $own, 'completed');
      SELECT picket_audit($own, now(), '{\"action\": \"results.removed\", \"actor\": \"test\", \"after\": {\"scans\": 1}}')", &["7"]),
    ("SELECT picket_audit($own, now(), '{\"action\": \"scan.deleted\", \"actor\": \"test\", \"object\": \"scn_1\"}')", &["7"]),
    ("DELETE FROM sightings", &["4", "10"]),
    ("UPDATE tasks SET exit_code = NULL", &["10"]),
    ("UPDATE faults.accepted SET gap_due = true", &["10"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checker_finds_every_violation_that_is_planted_and_nothing_where_none_is() {
    let planted = Planted::new().await;
    assert_eq!(checker::ask(&planted.client).await, [], "nothing is broken yet");
    let mut found = BTreeSet::new();
    for (sql, expected) in VIOLATIONS {
        // Past triggers and keys; a checker that trusted them would check nothing.
        planted.plant(&format!("BEGIN; SET LOCAL session_replication_role = replica; {sql}")).await;
        let broken = planted.broken().await;
        for invariant in *expected {
            assert!(broken.iter().any(|(found, _)| found == invariant), "I{invariant} after {sql}: {broken:?}");
        }
        found.extend(broken);
        planted.plant("ROLLBACK").await;
    }
    let questions = checker::questions();
    let silent = questions.iter().filter(|(invariant, branch, _)| !found.contains(&(invariant, *branch)));
    let silent: Vec<_> = silent.map(|(invariant, branch, sql)| format!("\nI{invariant}.{branch}: {sql}")).collect();
    assert!(silent.is_empty(), "nothing was planted for {} questions:{}", silent.len(), silent.concat());
    println!("{} questions, each found something", questions.len());
}
