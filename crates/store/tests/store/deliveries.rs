//! Deliveries: made once, claimed within their limits, and what their bodies are made of.

use std::time::Duration;

use picket_domain::{
    DeliveryAttempt, Dialect, Document, Event, EventBody, EventId, ReportFormat, ReportId, ReportRequest, Severity,
    SeverityCounts, Verdict, Webhook, WebhookEvent, WebhookId, WebhookUrl,
};
use picket_store::{
    StoreError,
    deliveries::{
        self, NewDelivery,
        facts::{self, Facts, ReportFacts},
        lease::{self, Finished},
        read,
    },
    reports,
    scans::read::Range,
    tasks::{self, RunRecord},
    webhooks,
};

use crate::scenario::{Scenario, now, observation};

async fn webhook(scenario: &Scenario, dialect: Dialect) -> WebhookId {
    let webhook = Webhook {
        id: WebhookId::mint(now()),
        organization_id: scenario.organization,
        url: WebhookUrl::parse("https://example.com/hook").unwrap(),
        dialect,
        events: WebhookEvent::of_dialect(dialect),
        created_at: now(),
        disabled: None,
    };
    let create = async |tx: &picket_store::Tx<'_>| webhooks::create(tx, &webhook, b"sealed").await;
    scenario.db.run("test", scenario.organization, create).await.unwrap();
    let find = async |tx: &picket_store::Tx<'_>| webhooks::find(tx, webhook.id).await;
    let found = scenario.db.run("test", scenario.organization, find).await.unwrap();
    assert_eq!(found.as_ref(), Some(&webhook));
    webhook.id
}

/// The numbered event of that name, as its deliveries are made from it; `None` once they are.
async fn event(scenario: &Scenario, name: &str) -> Option<Event> {
    scenario.public_events().await;
    let id = EventId::from_uuid(scenario.row("SELECT id FROM events WHERE name = $1", &[&name]).await.get(0));
    let lock = async |tx: &picket_store::Tx<'_>| deliveries::lock_event(tx, id).await;
    scenario.db.run("test", scenario.organization, lock).await.unwrap()
}

async fn fan_out(scenario: &Scenario, event: &Event) -> Result<u64, StoreError> {
    let make = async |tx: &picket_store::Tx<'_>| {
        let listeners = webhooks::listening(tx, event).await?;
        let deliveries: Vec<_> = listeners
            .iter()
            .map(|one| NewDelivery { webhook_id: one.id, event: "scan.failed", body: b"{}".to_vec() })
            .collect();
        deliveries::fan_out(tx, event, &deliveries, now()).await
    };
    scenario.db.run("test", scenario.organization, make).await
}

async fn facts_of(scenario: &Scenario, name: &str) -> Facts {
    let event = event(scenario, name).await.unwrap();
    let find = async |tx: &picket_store::Tx<'_>| facts::find(tx, &event).await;
    scenario.db.run("test", scenario.organization, find).await.unwrap().unwrap()
}

async fn claim(scenario: &Scenario, at_most: i64, per_webhook: i64) -> Vec<picket_domain::ClaimedDelivery> {
    scenario.db.operate("test", async |tx| lease::claim(tx, at_most, per_webhook).await).await.unwrap()
}

#[tokio::test]
async fn the_facts_of_a_scan_and_of_its_findings_are_read_as_they_are() {
    let scenario = Scenario::new().await;
    let (scan, _, task) = scenario.running().await;
    let found = [observation(80, Severity::Critical), observation(81, Severity::Info)];
    let run = RunRecord::default();
    scenario
        .db
        .run("test", scenario.organization, async |tx| tasks::complete(tx, &task, &found, &run, now()).await)
        .await
        .unwrap();

    let Facts::Scan { scan: record, counts } = facts_of(&scenario, "scan.completed").await else { panic!("a scan") };
    assert_eq!((record.scan.id, record.number), (scan.id, 1));
    assert_eq!(counts, SeverityCounts { critical: 1, info: 1, ..SeverityCounts::default() });
    let Facts::Finding { scan: record, finding } = facts_of(&scenario, "finding.found").await else {
        panic!("a finding")
    };
    assert_eq!((record.scan.id, finding.severity, finding.evidence.as_str()), (scan.id, Severity::Critical, "seen"));
}

#[tokio::test]
async fn the_facts_of_a_report_are_its_form_and_size() {
    let scenario = Scenario::new().await;
    let scan = scenario.create(1).await;
    let id = ReportId::mint(now());
    let request =
        ReportRequest::parse(vec![scan.id], ReportFormat::Html, true, true, picket_domain::Branding::default());
    let new = reports::NewReport {
        id,
        organization_id: scenario.organization,
        request: request.unwrap(),
        warnings: Vec::new(),
        requested_by: "usr_test".to_owned(),
        traceparent: None,
    };
    let render = async |tx: &picket_store::Tx<'_>| {
        reports::create(tx, &new, now()).await?;
        let claimed = reports::claim(tx, id, Duration::from_secs(30)).await?.unwrap();
        let document = Document { size_bytes: 1_234, sha256: "ab".repeat(32) };
        reports::complete(tx, claimed.fence, document, &[], now()).await
    };
    scenario.db.run("test", scenario.organization, render).await.unwrap();
    let expected = ReportFacts { id, format: ReportFormat::Html, scan_ids: vec![scan.id], size_bytes: 1_234 };
    assert_eq!(facts_of(&scenario, "report.generated").await, Facts::Report(expected));
}

#[tokio::test]
async fn deliveries_of_an_event_are_made_once() {
    let scenario = Scenario::new().await;
    let webhook = webhook(&scenario, Dialect::V1).await;
    scenario.create(1).await;
    let created = event(&scenario, "scan.created").await.unwrap();
    assert!(matches!(&created.body, EventBody::ScanCreated(_)));
    assert_eq!(fan_out(&scenario, &created).await.unwrap(), 1);
    assert_eq!(event(&scenario, "scan.created").await, None);
    // Whoever had read the event before finds it done, and its transaction changes nothing.
    assert!(matches!(fan_out(&scenario, &created).await, Err(StoreError::Stale { .. })));
    let range = Range { limit: 10, offset: 0 };
    let list = async |tx: &picket_store::Tx<'_>| read::list(tx, webhook, range).await;
    assert_eq!(scenario.db.run("test", scenario.organization, list).await.unwrap().total, 1);
    let overdue = async |tx: &picket_store::Tx<'_>| deliveries::overdue_events(tx, Duration::ZERO, 10).await;
    assert_eq!(scenario.db.operate("test", overdue).await.unwrap(), []);
}

#[tokio::test]
async fn claims_keep_to_the_limit_of_a_webhook_however_many_claim() {
    let scenario = Scenario::new().await;
    scenario.set_plan(picket_domain::Subscription::Enterprise).await;
    for dialect in [Dialect::V1, Dialect::V1] {
        webhook(&scenario, dialect).await;
    }
    for _ in 0..10 {
        scenario.create(1).await;
    }
    scenario.public_events().await;
    let overdue = async |tx: &picket_store::Tx<'_>| deliveries::overdue_events(tx, Duration::ZERO, 100).await;
    for (_, id) in scenario.db.operate("test", overdue).await.unwrap() {
        let lock = async |tx: &picket_store::Tx<'_>| deliveries::lock_event(tx, id).await;
        let event = scenario.db.run("test", scenario.organization, lock).await.unwrap().unwrap();
        fan_out(&scenario, &event).await.unwrap();
    }
    let claims = futures_util::future::join_all((0..6).map(|_| claim(&scenario, 5, 3))).await;
    let mut per_webhook = std::collections::HashMap::new();
    for claimed in claims.iter().flatten() {
        *per_webhook.entry(claimed.webhook_id).or_insert(0) += 1;
    }
    assert_eq!(per_webhook.into_values().collect::<Vec<_>>(), [3, 3]);
}

/// Makes so many deliveries that are due since `age_s` seconds.
async fn due(scenario: &Scenario, webhook: WebhookId, count: i32, age_s: i32) {
    let events = "WITH new AS (
      INSERT INTO events (id, organization_id, name, routing_key, public, body, at)
      SELECT gen_random_uuid(), $1, 'test', 'test', false, '{}', now() FROM generate_series(1, $3)
      RETURNING id
    ), made AS (
      INSERT INTO deliveries (id, organization_id, webhook_id, event_id, event, body, created_at, next_attempt_at)
      SELECT gen_random_uuid(), $1, $2, id, 'test', '', now(), now() - $4::integer * interval '1 second' FROM new
      RETURNING id
    )
    SELECT count(*) FROM made";
    scenario.row(events, &[&scenario.organization.uuid(), &webhook.uuid(), &count, &age_s]).await;
}

#[tokio::test]
async fn a_webhook_with_thousands_of_due_deliveries_hides_no_other() {
    let scenario = Scenario::new().await;
    let crowded = webhook(&scenario, Dialect::V1).await;
    let quiet = webhook(&scenario, Dialect::V1).await;
    due(&scenario, crowded, 3_000, 3_600).await;
    due(&scenario, quiet, 2, 1).await;
    // At its limit or not: both are claimed together, taking turns.
    for (at_most, of_crowded, of_quiet) in [(4, 2, 2), (100, 6, 0), (100, 0, 0)] {
        let claimed = claim(&scenario, at_most, 8).await;
        let count = |id| claimed.iter().filter(|one| one.webhook_id == id).count();
        assert_eq!((count(crowded), count(quiet)), (of_crowded, of_quiet));
    }
    due(&scenario, quiet, 1, 1).await;
    let claimed = claim(&scenario, 100, 8).await;
    assert_eq!(claimed.iter().map(|one| one.webhook_id).collect::<Vec<_>>(), [quiet]);
}

#[tokio::test]
async fn a_pause_holds_all_deliveries_of_its_webhook_and_costs_none_an_attempt() {
    let scenario = Scenario::new().await;
    let (held, other) = (webhook(&scenario, Dialect::V1).await, webhook(&scenario, Dialect::V1).await);
    due(&scenario, held, 3, 10).await;
    let claimed = claim(&scenario, 2, 8).await;
    for (claimed, hold) in claimed.iter().zip([600, 60]) {
        let attempt = DeliveryAttempt {
            attempt: claimed.fence.attempt,
            started_at: now(),
            duration_ms: 1,
            status: Some(429),
            error: None,
            error_class: None,
            response: None,
        };
        let finished = Finished {
            attempt,
            verdict: Verdict::Retry { after: Duration::from_secs(5) },
            hold: Some(Duration::from_secs(hold)),
            peer: Some("10.11.12.13".parse().unwrap()),
        };
        let finish = async |tx: &picket_store::Tx<'_>| lease::finish(tx, claimed, &finished, now()).await;
        assert!(scenario.db.run("test", scenario.organization, finish).await.unwrap());
    }
    // The longer pause counts, though the shorter one was asked for last.
    let left = "SELECT extract(epoch FROM held_until - now())::float8 FROM webhooks WHERE id = $1";
    let left: f64 = scenario.row(left, &[&held.uuid()]).await.get(0);
    assert!((590.0..=600.0).contains(&left), "{left}");
    let peers = "SELECT count(*) FROM delivery_attempts WHERE peer = '10.11.12.13'";
    assert_eq!(scenario.row(peers, &[]).await.get::<_, i64>(0), 2);

    due(&scenario, other, 1, 1).await;
    scenario.execute("UPDATE deliveries SET next_attempt_at = now() WHERE state = 'pending'").await;
    let claimed = claim(&scenario, 10, 8).await;
    assert_eq!(claimed.iter().map(|one| one.webhook_id).collect::<Vec<_>>(), [other]);
    let range = Range { limit: 10, offset: 0 };
    let list = async |tx: &picket_store::Tx<'_>| read::list(tx, held, range).await;
    let waiting = scenario.db.run("test", scenario.organization, list).await.unwrap().rows;
    let until = "SELECT held_until FROM webhooks WHERE id = $1";
    let until: Option<jiff::Timestamp> = scenario.row(until, &[&held.uuid()]).await.get(0);
    assert!(waiting.iter().all(|record| record.state.name() == "pending" && record.next_attempt_at == until));
    assert!(!format!("{waiting:?}").contains("10.11.12.13"));

    scenario.execute("UPDATE webhooks SET held_until = now()").await;
    let mut failures: Vec<u32> = claim(&scenario, 10, 8).await.iter().map(|claimed| claimed.failures).collect();
    failures.sort_unstable();
    assert_eq!(failures, [0, 1, 1]);
}

#[tokio::test]
async fn a_claim_that_was_given_back_may_be_finished_no_more() {
    let scenario = Scenario::new().await;
    webhook(&scenario, Dialect::V1).await;
    scenario.create(1).await;
    let created = event(&scenario, "scan.created").await.unwrap();
    fan_out(&scenario, &created).await.unwrap();
    let first = claim(&scenario, 1, 1).await.remove(0);
    assert!(claim(&scenario, 1, 1).await.is_empty());
    let release = async |tx: &picket_store::Tx<'_>| lease::release(tx, &[first.fence]).await;
    assert_eq!(scenario.db.operate("test", release).await.unwrap(), 1);
    let second = claim(&scenario, 1, 1).await.remove(0);
    assert_eq!((second.fence.attempt, second.failures), (2, 0));

    let attempt = |attempt| DeliveryAttempt {
        attempt,
        started_at: now(),
        duration_ms: 1,
        status: Some(200),
        error: None,
        error_class: None,
        response: Some("ok".to_owned()),
    };
    let mut counted = Vec::new();
    for claimed in [&first, &second, &second] {
        let attempt = attempt(claimed.fence.attempt);
        let finished = Finished { attempt, verdict: Verdict::Delivered, hold: None, peer: None };
        let finish = async |tx: &picket_store::Tx<'_>| lease::finish(tx, claimed, &finished, now()).await;
        counted.push(scenario.db.run("test", scenario.organization, finish).await.unwrap());
    }
    assert_eq!(counted, [false, true, false]);
}
