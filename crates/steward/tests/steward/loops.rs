//! What each loop does, and that two of them do it no worse than one.

use std::{collections::BTreeSet, time::Duration};

use jiff::SignedDuration;
use picket_domain::EventBody;
use picket_kit::{Health, Shutdown};
use picket_queue::topology::Queue;
use picket_steward::{Admission, Cleaner, Parts, Relay, Rescuer, StewardSettings, run};

use crate::stage::Stage;

#[tokio::test]
async fn two_relays_bring_every_event_to_the_broker_once() {
    let stage = Stage::new().await;
    for _ in 0..30 {
        stage.create(1).await;
    }
    let (one, other) = (Relay::new(stage.db.clone(), &stage.broker), Relay::new(stage.db.clone(), &stage.broker));
    let mut published = 0;
    while published < 30 {
        let (first, second) = tokio::join!(one.relay(), other.relay());
        published += first.unwrap() + second.unwrap();
    }
    let taken = stage.take(Queue::Deliveries, 30).await;
    let ids: BTreeSet<_> = taken.iter().map(|envelope| envelope.id.to_string()).collect();
    assert_eq!((published, ids.len()), (30, 30));
    assert_eq!(stage.count("SELECT count(*) FROM events WHERE published_at IS NULL").await, 0);
}

#[tokio::test]
async fn an_event_that_nobody_hears_stays_where_it_is() {
    let stage = Stage::new().await;
    stage.create(1).await;
    let sql = "UPDATE events SET routing_key = 'nobody.hears.this'";
    stage.database.connect().await.batch_execute(sql).await.unwrap();
    let relay = Relay::new(stage.db.clone(), &stage.broker);
    assert!(relay.relay().await.is_err());
    assert_eq!(stage.count("SELECT count(*) FROM events WHERE published_at IS NULL").await, 1);
}

#[tokio::test]
async fn admitted_tasks_reach_the_queue_of_their_pool_with_their_trace() {
    let stage = Stage::new().await;
    stage.beat(3).await;
    stage.create(2).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    stage.database.connect().await.execute("UPDATE scans SET traceparent = $1", &[&trace]).await.unwrap();
    let admission = Admission::new(stage.db.clone(), stage.clock.clone(), StewardSettings::default());
    let (one, other) = tokio::join!(admission.admit(), admission.admit());
    assert_eq!(one.unwrap() + other.unwrap(), 2);
    while Relay::new(stage.db.clone(), &stage.broker).relay().await.unwrap() > 0 {}
    for envelope in stage.take(Queue::Tasks(picket_domain::Pool::Net), 2).await {
        assert!(matches!(envelope.body, EventBody::TaskQueued(_)));
        assert_eq!(envelope.traceparent.as_deref(), Some(trace));
    }
}

#[tokio::test]
async fn a_steward_that_has_just_begun_gives_nothing_up() {
    let stage = Stage::new().await;
    stage.create(1).await;
    stage.database.connect().await.batch_execute("UPDATE tasks SET ready_at = now() - interval '1 day'").await.unwrap();
    let admission = Admission::new(stage.db.clone(), stage.clock.clone(), StewardSettings::default());
    assert_eq!(admission.give_up_unserved().await.unwrap(), 0);
    stage.clock.advance(SignedDuration::from_secs(61));
    assert_eq!(admission.give_up_unserved().await.unwrap(), 1);
    assert_eq!(stage.count("SELECT count(*) FROM scans WHERE state = 'failed'").await, 1);
}

#[tokio::test]
async fn a_task_that_cannot_be_given_up_keeps_no_other_one_waiting() {
    let stage = Stage::new().await;
    stage.create(3).await;
    let refuse = "UPDATE tasks SET ready_at = now() - interval '1 day';
         UPDATE tasks SET ready_at = now() - interval '2 days', detail = 'stuck' WHERE id = (SELECT id FROM tasks LIMIT 1);
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
         CREATE TRIGGER refuse BEFORE UPDATE ON tasks
           FOR EACH ROW WHEN (OLD.detail = 'stuck' AND NEW.state = 'failed') EXECUTE FUNCTION refuse();";
    stage.database.connect().await.batch_execute(refuse).await.unwrap();
    let admission = Admission::new(stage.db.clone(), stage.clock.clone(), StewardSettings::default());
    stage.clock.advance(SignedDuration::from_secs(61));
    assert_eq!(admission.give_up_unserved().await.unwrap(), 2);
    // Alone, it is an error that somebody hears of.
    assert!(admission.give_up_unserved().await.is_err());
}

#[tokio::test]
async fn a_pool_whose_worker_left_a_moment_ago_is_waited_for() {
    let stage = Stage::new().await;
    stage.create(1).await;
    let admission = Admission::new(stage.db.clone(), stage.clock.clone(), StewardSettings::default());
    stage.clock.advance(SignedDuration::from_secs(61));
    let client = stage.database.connect().await;
    client.batch_execute("UPDATE tasks SET ready_at = now() - interval '1 day'").await.unwrap();
    stage.beat(1).await;
    client.batch_execute("UPDATE workers SET draining = true, slots = 0").await.unwrap();
    assert_eq!(admission.give_up_unserved().await.unwrap(), 0);
    client.batch_execute("UPDATE workers SET heartbeat_at = now() - interval '61 seconds'").await.unwrap();
    assert_eq!(admission.give_up_unserved().await.unwrap(), 1);
}

#[tokio::test]
async fn two_rescuers_put_a_task_back_once() {
    let stage = Stage::new().await;
    stage.create(1).await;
    stage
        .database
        .connect()
        .await
        .batch_execute(
            "UPDATE tasks SET state = 'queued', queued_at = now();
             UPDATE tasks SET state = 'running', attempt = 1, worker_id = gen_random_uuid(), lease_until = now() - interval '1 s'",
        )
        .await
        .unwrap();
    let rescuer = Rescuer::new(stage.db.clone(), stage.clock.clone(), StewardSettings::default());
    let (one, other) = tokio::join!(rescuer.rescue(), rescuer.rescue());
    assert_eq!(one.unwrap() + other.unwrap(), 1);
    assert_eq!(stage.count("SELECT failures::bigint FROM tasks").await, 1);
}

#[tokio::test]
async fn two_cleaners_take_away_what_has_ended_once() {
    let stage = Stage::new().await;
    let sql = "INSERT INTO idempotency_keys
                 (organization_id, subject, route, key, request_digest, created_at, expires_at, status, answer)
               SELECT id, 'usr_x', 'POST /x', number::text, 'x', now(), $1::timestamptz + number * interval '1 s', 201, 'x'
               FROM organizations, generate_series(-30, 29) AS number";
    let now = stage.clock.now();
    stage.database.connect().await.execute(sql, &[&now]).await.unwrap();
    let cleaner = Cleaner::new(stage.db.clone(), stage.clock.clone());
    let (one, other) = tokio::join!(cleaner.clean(), cleaner.clean());
    assert_eq!(one.unwrap().0 + other.unwrap().0, 30);
    assert_eq!(stage.count("SELECT count(*) FROM idempotency_keys").await, 30);
    stage.clock.advance(SignedDuration::from_secs(31));
    assert_eq!(cleaner.clean().await.unwrap(), (30, false));
}

#[tokio::test]
async fn a_cleaner_that_took_a_whole_turn_says_that_there_may_be_more() {
    let stage = Stage::new().await;
    let sql = "INSERT INTO idempotency_keys
                 (organization_id, subject, route, key, request_digest, created_at, expires_at, status, answer)
               SELECT id, 'usr_x', 'POST /x', number::text, 'x', now(), $1::timestamptz - interval '1 s', 201, 'x'
               FROM organizations, generate_series(1, 1500) AS number";
    stage.database.connect().await.execute(sql, &[&stage.clock.now()]).await.unwrap();
    let cleaner = Cleaner::new(stage.db.clone(), stage.clock.clone());
    assert_eq!(cleaner.clean().await.unwrap(), (1_000, true));
    assert_eq!(cleaner.clean().await.unwrap(), (500, false));
}

#[tokio::test]
async fn the_steward_gets_ready_works_and_stops_when_it_is_told() {
    let stage = Stage::new().await;
    let (health, shutdown) = (Health::starting(), Shutdown::new());
    let settings = StewardSettings { poll_ms: 20, rescue_ms: 20, ..StewardSettings::default() };
    let (_folder, blobs) = crate::stage::store();
    let prover = crate::proofs::prover(&picket_testkit::Dns::start().await);
    let (db, broker, clock) = (stage.db.clone(), stage.broker.clone(), stage.clock.clone());
    let planner = crate::schedules::planner();
    let parts = Parts { db, broker, blobs, planner, prover, clock, health: health.clone() };
    let steward = tokio::spawn(run(settings, parts, shutdown.clone()));
    stage.create(1).await;
    assert_eq!(stage.take(Queue::Deliveries, 1).await.len(), 1);
    let ready = async {
        while !health.is_ready() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ready).await.expect("a ready steward");
    shutdown.stop();
    tokio::time::timeout(Duration::from_secs(5), steward).await.expect("an end").unwrap();
}
