//! Mail servers that are away or say no, dispatchers that die or stop, letters that nobody could send in time.

use std::time::Duration;

use jiff::SignedDuration;
use picket_dispatcher::DispatcherSettings;
use picket_domain::{Jitter, Letter, Locale, RetrySchedule};
use picket_store::mails::lease;
use serde_json::json;

use crate::{
    mail_server::{MailServer, Row, reset},
    stage::{Stage, eventually, now, quick},
};

#[tokio::test]
async fn a_letter_waits_for_a_server_that_is_away_and_arrives_once() {
    let Some(server) = MailServer::plain().await else { return };
    let (port, settings) = (server.port, server.settings());
    server.stop().await;
    let stage = Stage::new().await;
    let dispatcher = stage.dispatcher(settings);
    let id = stage.post("ada@example.com", Locale::En, &reset()).await;
    let row = stage.mail_in(id, "pending", 1).await;
    assert_eq!((row.error.as_deref(), row.has_letter), (Some("connection"), true));
    let server = MailServer::start(&json!({"port": port})).await.unwrap();
    stage.hurry_mails().await;
    assert_eq!(
        stage.mail_in(id, "sent", 2).await,
        Row { state: "sent".to_owned(), attempt: 2, error: None, has_letter: false }
    );
    dispatcher.stop().await;
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn a_refused_letter_fails_at_once_and_a_postponed_one_is_tried_again() {
    let Some(server) = MailServer::plain().await else { return };
    let stage = Stage::new().await;
    let dispatcher = stage.dispatcher(server.settings());
    let refused = stage.post("refused@example.com", Locale::En, &reset()).await;
    let later = stage.post("later@example.com", Locale::En, &reset()).await;
    let unusable = stage.post("not an address", Locale::En, &reset()).await;
    assert_eq!(stage.mail_in(refused, "failed", 1).await.error.as_deref(), Some("smtp 550 5.1.1"));
    assert_eq!(stage.mail_in(unusable, "failed", 1).await.error.as_deref(), Some("unusable address"));
    assert_eq!(stage.mail_in(later, "pending", 1).await.error.as_deref(), Some("smtp 451 4.3.0"));
    stage.hurry_mails().await;
    stage.mail_in(later, "sent", 2).await;
    dispatcher.stop().await;
    assert_eq!((server.letters_to("later@example.com").len(), server.lines().len()), (1, 1));
}

#[tokio::test]
async fn a_letter_is_tried_eight_times_on_schedule_and_then_no_more() {
    let Some(server) = MailServer::plain().await else { return };
    let settings = server.settings();
    server.stop().await;
    let stage = Stage::new().await;
    let dispatcher = stage.dispatcher(settings);
    let id = stage.post("ada@example.com", Locale::En, &reset()).await;
    for attempt in 1..=7_u32 {
        stage.mail_in(id, "pending", i32::try_from(attempt).unwrap()).await;
        let sql = "SELECT extract(epoch FROM next_attempt_at - now())::float8 FROM mails WHERE id = $1";
        let wait: f64 = stage.admin.query_one(sql, &[&id.uuid()]).await.unwrap().get(0);
        let planned = RetrySchedule::MAILS.delay(attempt, Jitter(0), None).unwrap().as_secs_f64();
        // Between the answer and the look at it, some time passes.
        assert!(wait > planned - 10.0 && wait <= planned * 1.2, "{attempt}: {wait} s");
        stage.hurry_mails().await;
    }
    let row = stage.mail_in(id, "failed", 8).await;
    assert_eq!((row.error.as_deref(), row.has_letter), (Some("connection"), false));
    dispatcher.stop().await;
}

#[tokio::test]
async fn two_dispatchers_send_each_letter_once() {
    let Some(server) = MailServer::plain().await else { return };
    let stage = Stage::new().await;
    let dispatchers = [stage.dispatcher(server.settings()), stage.dispatcher(server.settings())];
    let mut ids = Vec::new();
    for index in 0..40 {
        ids.push((stage.post(&format!("ada{index}@example.com"), Locale::En, &reset()).await, index));
    }
    for (id, index) in ids {
        stage.mail_in(id, "sent", 1).await;
        assert_eq!(server.letters_to(&format!("ada{index}@example.com")).len(), 1);
    }
    for dispatcher in dispatchers {
        dispatcher.stop().await;
    }
    assert_eq!(server.lines().len(), 40);
}

#[tokio::test]
async fn a_letter_that_a_dead_dispatcher_held_is_sent_by_another() {
    let Some(server) = MailServer::plain().await else { return };
    let stage = Stage::new().await;
    let first = stage.dispatcher(server.settings());
    let id = stage.post("stall@example.com", Locale::En, &reset()).await;
    eventually("a letter under way", async || (server.lines().len() == 1).then_some(())).await;
    first.kill().await;
    assert_eq!(stage.mail(id).await.state, "sending");

    let second = stage.dispatcher(server.settings());
    let end = "UPDATE mails SET lease_until = now() - interval '1 second' WHERE state = 'sending'";
    assert_eq!(stage.admin.execute(end, &[]).await.unwrap(), 1);
    stage.mail_in(id, "sent", 2).await;
    second.stop().await;
    let late = lease::MailFence { mail_id: id, attempt: 1 };
    let end = lease::MailEnd::Failed { reason: "late".to_owned() };
    let counted = stage.db.operate("finish", async |tx| lease::finish(tx, late, &end).await).await.unwrap();
    assert!(!counted, "a late word counts");
    assert_eq!(stage.mail(id).await.error, None);
    assert_eq!(server.letters_to("stall@example.com").len(), 1);
}

#[tokio::test]
async fn a_letter_that_kills_whoever_sends_it_fails_in_the_end() {
    let stage = Stage::new().await;
    let id = stage.post("ada@example.com", Locale::En, &reset()).await;
    let held = "UPDATE mails SET state = 'sending', attempt = 8, next_attempt_at = NULL, \
                lease_until = now() - interval '1 second'";
    stage.admin.execute(held, &[]).await.unwrap();
    let dispatcher = stage.dispatcher(quick());
    let row = stage.mail_in(id, "failed", 8).await;
    assert_eq!((row.error.as_deref(), row.has_letter), (Some("interrupted"), false));
    dispatcher.stop().await;
}

#[tokio::test]
async fn what_cannot_be_sent_before_the_stop_is_given_back() {
    let Some(server) = MailServer::plain().await else { return };
    let stage = Stage::new().await;
    let dispatcher = stage.dispatcher(DispatcherSettings { drain_seconds: 0, ..server.settings() });
    let id = stage.post("stall@example.com", Locale::En, &reset()).await;
    eventually("a letter under way", async || (server.lines().len() == 1).then_some(())).await;
    dispatcher.stop().await;
    assert_eq!(stage.mail(id).await.state, "pending");
    let dispatcher = stage.dispatcher(server.settings());
    stage.mail_in(id, "sent", 2).await;
    dispatcher.stop().await;
    assert_eq!(server.letters_to("stall@example.com").len(), 1);
}

#[tokio::test]
async fn a_letter_that_expired_is_never_sent() {
    let Some(server) = MailServer::plain().await else { return };
    let stage = Stage::new().await;
    let late = Letter::VerifyAddress {
        name: "Ada".to_owned(),
        link: "https://api.example/".to_owned(),
        expires_at: now() - SignedDuration::from_secs(1),
    };
    let late = stage.post("late@example.com", Locale::En, &late).await;
    let timely = stage.post("timely@example.com", Locale::En, &reset()).await;
    let dispatcher = stage.dispatcher(server.settings());
    let row = stage.mail_in(late, "failed", 0).await;
    assert_eq!((row.error.as_deref(), row.has_letter), (Some("expired"), false));
    stage.mail_in(timely, "sent", 1).await;
    dispatcher.stop().await;
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn without_a_mail_server_letters_wait_until_they_expire_and_old_rows_go() {
    let stage = Stage::new().await;
    let old = stage.post("old@example.com", Locale::En, &reset()).await;
    let recent = stage.post("recent@example.com", Locale::En, &reset()).await;
    let waiting = stage.post("waiting@example.com", Locale::En, &reset()).await;
    let end = "UPDATE mails SET state = 'sent', next_attempt_at = NULL, letter = NULL, \
               ended_at = now() - make_interval(days => $2) WHERE id = $1";
    for (id, days) in [(old, 31), (recent, 29)] {
        assert_eq!(stage.admin.execute(end, &[&id.uuid(), &days]).await.unwrap(), 1);
    }
    let dispatcher = stage.dispatcher(quick());
    eventually("the old row to go", async || {
        let left = "SELECT count(*) FROM mails";
        (stage.admin.query_one(left, &[]).await.unwrap().get::<_, i64>(0) == 2).then_some(())
    })
    .await;
    assert_eq!((stage.mail(recent).await.state.as_str(), stage.mail(waiting).await.attempt), ("sent", 0));
    assert_eq!(stage.mail(waiting).await.state, "pending");
    stage.admin.execute("UPDATE mails SET expires_at = now() WHERE id = $1", &[&waiting.uuid()]).await.unwrap();
    assert_eq!(stage.mail_in(waiting, "failed", 0).await.error.as_deref(), Some("expired"));
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_server_that_never_answers_costs_an_attempt_and_holds_nobody_up() {
    let Some(server) = MailServer::plain().await else { return };
    let stage = Stage::new().await;
    let mut settings = server.settings();
    if let Some(smtp) = settings.smtp.as_mut() {
        smtp.timeout_seconds = 1;
    }
    let dispatcher = stage.dispatcher(settings);
    let stalled = stage.post("stall@example.com", Locale::En, &reset()).await;
    let next = stage.post("next@example.com", Locale::En, &reset()).await;
    stage.mail_in(next, "sent", 1).await;
    assert_eq!(stage.mail_in(stalled, "pending", 1).await.error.as_deref(), Some("timeout"));
    let waits = "SELECT next_attempt_at > now() FROM mails WHERE id = $1";
    assert!(stage.admin.query_one(waits, &[&stalled.uuid()]).await.unwrap().get::<_, bool>(0));
    let longest = Duration::from_secs(12);
    assert!(RetrySchedule::MAILS.delay(1, Jitter(u16::MAX), None).unwrap() <= longest);
    dispatcher.stop().await;
}
