//! What an organization may keep, when many make it at the same time.

use std::time::Duration;

use futures_util::future::join_all;
use picket_domain::{
    ApiKeyId, Dialect, Permission, Subscription, Target, TargetId, UserId, Webhook, WebhookEvent, WebhookId, WebhookUrl,
};
use picket_store::{
    Db, DbSettings, StoreError, Tx,
    api_keys::{self, NewApiKey},
    quota::{self, Quota, Refusal},
    scans,
    targets::{self, NewTarget, TargetWords},
    webhooks,
};
use picket_testkit::seed;

use crate::scenario::{Scenario, now};

/// So many creates at once, of which only so many may pass.
const CREATES: u8 = 20;
const MOST: u32 = 7;

/// How many of the creates passed.
async fn passed(
    scenario: &Scenario,
    quota: Quota,
    create: impl AsyncFn(&Tx<'_>, u8) -> Result<(), StoreError>,
) -> usize {
    let one = async |number| {
        let work = async |tx: &Tx<'_>| {
            quota::lock(tx, scenario.organization).await?.demand(tx, |_| quota).await?;
            create(tx, number).await
        };
        match scenario.db.run("test", scenario.organization, work).await {
            Ok(()) => true,
            Err(StoreError::Refused(Refusal::LimitReached { most, .. })) if most == u64::from(MOST) => false,
            Err(error) => panic!("{error:?}"),
        }
    };
    join_all((0..CREATES).map(one)).await.into_iter().filter(|passed| *passed).count()
}

#[tokio::test]
async fn twenty_webhooks_at_once_keep_to_the_limit() {
    let scenario = Scenario::new().await;
    let create = async |tx: &Tx<'_>, _| {
        let webhook = Webhook {
            id: WebhookId::mint(now()),
            organization_id: scenario.organization,
            url: WebhookUrl::parse("https://example.com/hook").unwrap(),
            dialect: Dialect::V1,
            events: WebhookEvent::of_dialect(Dialect::V1),
            created_at: now(),
            disabled: None,
        };
        webhooks::create(tx, &webhook, b"sealed").await
    };
    assert_eq!(passed(&scenario, Quota::Webhooks(MOST), create).await, 7);
    let kept: i64 = scenario.row("SELECT count(*) FROM webhooks", &[]).await.get(0);
    assert_eq!(kept, 7);
    // What is deleted makes room.
    scenario.execute("UPDATE webhooks SET deleted_at = now() WHERE id IN (SELECT id FROM webhooks LIMIT 2)").await;
    assert_eq!(passed(&scenario, Quota::Webhooks(MOST), create).await, 2);
}

#[tokio::test]
async fn twenty_targets_at_once_keep_to_the_limit() {
    let scenario = Scenario::new().await;
    let create = async |tx: &Tx<'_>, number| {
        let target = Target::parse(&format!("192.0.2.{number}")).unwrap();
        let new = NewTarget { id: TargetId::mint(now()), target, words: TargetWords::default(), created_at: now() };
        targets::create(tx, scenario.organization, &new).await
    };
    assert_eq!(passed(&scenario, Quota::Targets(MOST), create).await, 7);
    let kept: i64 = scenario.row("SELECT count(*) FROM targets", &[]).await.get(0);
    assert_eq!(kept, 7);
}

#[tokio::test]
async fn twenty_api_keys_at_once_keep_to_the_limit() {
    let scenario = Scenario::new().await;
    let user = UserId::mint(now());
    let insert = "INSERT INTO users (id, created_at, email, name, password_hash) VALUES ($1, now(), 'a@b.c', 'A', 'x') RETURNING 1";
    scenario.row(insert, &[&user.uuid()]).await;
    let create = async |tx: &Tx<'_>, number| {
        let new = NewApiKey {
            id: ApiKeyId::mint(now()),
            organization_id: scenario.organization,
            created_by: user,
            name: "test",
            prefix: "pk_test",
            digest: [number; 32],
            scopes: &[Permission::ToolsRead],
            expires_at: None,
            allowed_ranges: &[],
        };
        api_keys::create(tx, &new, now()).await
    };
    assert_eq!(passed(&scenario, Quota::ApiKeys(MOST), create).await, 7);
    let kept: i64 = scenario.row("SELECT count(*) FROM api_keys", &[]).await.get(0);
    assert_eq!(kept, 7);
}

/// How many of so many creates at once, on a pool of 32 connections, passed.
async fn scans_passed(scenario: &Scenario, db: &Db, creates: usize) -> usize {
    let one = async |_| {
        let scan = seed::scan(scenario.organization, 1);
        match db.run("test", scenario.organization, async |tx| scans::create(tx, &scan, now()).await).await {
            Ok(_) => true,
            Err(StoreError::Refused(Refusal::LimitReached { most: 5, plan: Subscription::Trial, .. })) => false,
            Err(error) => panic!("{error:?}"),
        }
    };
    join_all((0..creates).map(one)).await.into_iter().filter(|passed| *passed).count()
}

#[tokio::test]
async fn a_thousand_scans_at_once_never_exceed_the_plan_and_what_ends_makes_room() {
    let scenario = Scenario::new().await;
    let settings = DbSettings { url: scenario.database.url(), max_connections: 32, wait: Duration::from_secs(120) };
    let db = Db::new(&settings).unwrap();
    assert_eq!(scans_passed(&scenario, &db, 1_000).await, 5);
    let unfinished = "SELECT count(*) FROM scans WHERE state IN ('created', 'queued', 'running', 'paused')";
    let end = "UPDATE scans SET ended_at = now(), started_at = now(), ";
    for (state, set) in [
        ("completed", "state = 'completed'"),
        ("failed", "state = 'failed', failure = 'x'"),
        ("cancelled", "state = 'cancelled'"),
    ] {
        // A scan is queued and runs before it completes.
        for step in ["state = 'queued'", "state = 'running', started_at = now()"] {
            let sql = format!("UPDATE scans SET {step} WHERE state IN ('created', 'queued')");
            scenario.execute(&sql).await;
        }
        let ended = scenario
            .execute(&format!("{end}{set} WHERE id IN (SELECT id FROM scans WHERE state = 'running' LIMIT 2)"))
            .await;
        assert_eq!(ended, 2, "{state}");
        assert_eq!(scans_passed(&scenario, &db, 50).await, 2, "{state}");
        assert_eq!(scenario.row(unfinished, &[]).await.get::<_, i64>(0), 5, "{state}");
    }
    let row = scenario.row("SELECT max(number), count(*) FROM scans", &[]).await;
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (11, 11), "what was refused took no number");
}

#[tokio::test]
async fn a_scan_that_nobody_could_do_takes_no_room() {
    let scenario = Scenario::new().await;
    for _ in 0..10 {
        scenario.create(0).await;
    }
    assert_eq!(scenario.row("SELECT count(*) FROM scans WHERE state = 'failed'", &[]).await.get::<_, i64>(0), 10);
}
