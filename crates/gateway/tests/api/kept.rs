//! That an answer under a key stands or falls with what it speaks of, whenever the gateway dies.

use picket_domain::Subscription;
use serde_json::{Value, json};

use crate::harness::{Answer, Member, TestApp};

/// What nmap writes of one host with one open port.
const REPORT: &str = r#"<?xml version="1.0"?><nmaprun scanner="nmap" args="nmap" start="1768487400" version="7.93"
 xmloutputversion="1.05"><host starttime="1768487400" endtime="1768487401"><status state="up" reason="syn-ack"/>
 <address addr="192.0.2.7" addrtype="ipv4"/><ports><port protocol="tcp" portid="80"><state state="open"
 reason="syn-ack" reason_ttl="0"/><service name="http" method="table" conf="3"/></port></ports></host><runstats>
 <finished time="1768487401" exit="success"/><hosts up="1" down="0" total="1"/></runstats></nmaprun>"#;

async fn start() -> (TestApp, Member) {
    let app = TestApp::spawn_with(|settings| {
        settings.allow_targets = vec!["127.0.0.0/8".to_owned()];
        settings.registration_plan = Subscription::Professional;
    })
    .await;
    let member = app.member("ada@example.com").await;
    app.verify("ada@example.com").await;
    let user: picket_domain::UserId = member.user_id.parse().unwrap();
    let sql = "UPDATE users SET platform_role = 'operator' WHERE id = $1";
    app.database.connect().await.execute(sql, &[&user.uuid()]).await.unwrap();
    (app, member)
}

fn scan() -> Value {
    json!({"target": "127.0.0.1", "tool": "nmap", "parameters": {"ports": "80"}})
}

/// A POST under a key that is its path; asserts that its answer was written by the very transaction that wrote the row of
/// the audit log beside the change.
async fn assert_kept_beside_its_change(app: &TestApp, member: &Member, path: &str, body: &str) -> Answer {
    let send = async || {
        app.request("POST", path, Some(&member.token), |request| {
            let request = request.header("Idempotency-Key", path);
            let request =
                if path.contains("import") { request } else { request.header("content-type", "application/json") };
            request.body(body.to_owned())
        })
        .await
    };
    let first = send().await;
    assert!((200..300).contains(&first.status), "{path}: {} {}", first.status, first.text);
    let client = app.database.connect().await;
    let sql = "SELECT k.answer IS NOT NULL AND k.lease_until IS NULL
                  AND (EXISTS (SELECT FROM audit_log AS a WHERE a.xmin = k.xmin)
                       -- Where nothing has changed: it was written behind the lock of the change.
                       OR EXISTS (SELECT FROM organization_counters AS c WHERE c.xmax = k.xmin))
               FROM idempotency_keys AS k
               WHERE k.key = $1";
    let is_kept: bool = client.query_one(sql, &[&path]).await.unwrap().get(0);
    assert!(is_kept, "{path}: the answer is not of the transaction of the change");
    let replay = send().await;
    assert_eq!((replay.status, &replay.text), (first.status, &first.text), "{path}");
    assert_eq!(replay.header("idempotent-replayed"), Some("true"), "{path}");
    first
}

#[tokio::test]
async fn an_answer_is_kept_in_the_transaction_that_makes_what_it_speaks_of() {
    let (app, ada) = start().await;
    let post = async |path: &str, body: Value| assert_kept_beside_its_change(&app, &ada, path, &body.to_string()).await;
    let made = post("/api/v1/scans/create", scan()).await.json();
    let number = post("/api/v2/scans", json!({"target": "127.0.0.1"})).await.json()["scan_id"].clone();
    let id = made["id"].as_str().unwrap();
    post("/api/v2/reports", json!({"scan_ids": [number]})).await;
    post("/api/v1/reports/generate", json!({"scan_ids": [id]})).await;
    post(&format!("/api/v1/scan/{id}/stop"), json!({})).await;
    post(&format!("/api/v1/scan/{id}/rerun"), json!({"only": "all"})).await;
    for version in ["v1", "v2"] {
        assert_kept_beside_its_change(&app, &ada, &format!("/api/{version}/scans/import"), REPORT).await;
    }
    let key = post("/api/v1/api-keys", json!({"name": "ci", "scopes": ["tools:read"]})).await.json();
    post(&format!("/api/v1/api-keys/{}/rotate", key["id"].as_str().unwrap()), json!({})).await;
    post("/api/v1/webhooks", json!({"url": "https://93.184.215.14/hook"})).await;
    let target = post("/api/v1/targets", json!({"target": "example.com"})).await.json();
    let path = format!("/api/v1/targets/{}/verification", target["id"].as_str().unwrap());
    post(&path, json!({"method": "dns_txt"})).await;
    post(&format!("{path}/check"), json!({})).await;
    post("/api/v1/targets/bulk", json!({"targets": [{"target": "example.org"}]})).await;
    post("/api/v1/exclusions", json!({"value": "192.0.2.0/24"})).await;
    post("/api/v1/scan-profiles", json!({"name": "mine", "tool": "nmap"})).await;
    let schedule = json!({"name": "nightly", "kind": "scan", "cron": "30 2 * * *", "time_zone": "UTC", "scan": scan()});
    let schedule = post("/api/v1/schedules", schedule).await.json();
    post(&format!("/api/v1/schedules/{}/toggle", schedule["id"].as_str().unwrap()), json!({})).await;
    post("/api/v1/settings/team/invite", json!({"email": "bob@example.com", "role": "viewer"})).await;
    let halt = json!({"scope": "target", "target": "198.51.100.0/24", "reason": "a complaint"});
    post("/api/v1/admin/kill-switch", halt).await;
    let worker = picket_domain::WorkerId::mint(app.clock.now());
    let beat = format!(
        "INSERT INTO workers (id, pools, level, tools, slots, busy, draining, started_at, heartbeat_at)
         VALUES ('{}', '{{net}}', 'L2', '{{nmap}}', 4, 0, false, now(), now())",
        worker.uuid()
    );
    app.database.connect().await.batch_execute(&beat).await.unwrap();
    post(&format!("/api/v1/admin/workers/{worker}/drain"), json!({})).await;
    post("/v1/scans/create", scan()).await;
    let given_up = "UPDATE tasks SET state = 'queued', queued_at = now() WHERE state = 'ready';
        UPDATE tasks SET state = 'running', attempt = 3, worker_id = gen_random_uuid(), lease_until = now() WHERE state = 'queued';
        UPDATE tasks SET state = 'failed', failures = 3, gap = 'worker_lost', ended_at = now(), lease_until = NULL
        WHERE state = 'running'";
    app.database.connect().await.batch_execute(given_up).await.unwrap();
    let replayed = post("/api/v1/admin/queues/net/replay", json!({})).await.json();
    assert!(replayed["tasks"].as_u64() > Some(0), "{replayed}");
}

#[tokio::test]
async fn whoever_lost_its_key_while_it_worked_makes_nothing() {
    let (app, ada) = start().await;
    let mut blocker = app.database.connect().await;
    let lock = blocker.transaction().await.unwrap();
    lock.execute("SELECT FROM organization_counters FOR UPDATE", &[]).await.unwrap();
    let post = async || {
        app.request("POST", "/api/v1/scans/create", Some(&ada.token), |request| {
            request.header("Idempotency-Key", "frozen").json(&scan())
        })
        .await
    };
    let client = app.database.connect().await;
    let waiting = async |many: i64| {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let begun = std::time::Instant::now();
        while client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) < many {
            assert!(begun.elapsed() < std::time::Duration::from_secs(30), "it did not come to that");
        }
    };
    let free = async {
        waiting(1).await;
        // As after a minute in which the first one stood still.
        let sql = "UPDATE idempotency_keys SET lease_until = now() - interval '1 second'";
        assert_eq!(client.execute(sql, &[]).await.unwrap(), 1);
        let second = async {
            waiting(2).await;
            lock.commit().await.unwrap();
        };
        tokio::join!(post(), second).0
    };
    let (first, second) = tokio::join!(post(), free);
    first.assert_problem(409, "idempotency_in_flight");
    assert_eq!((second.status, second.header("idempotent-replayed")), (201, None), "{}", second.text);
    let scans = client.query_one("SELECT count(*) FROM scans", &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(scans, 1);
    let replay = post().await;
    assert_eq!((&replay.text, replay.header("idempotent-replayed")), (&second.text, Some("true")));
}
