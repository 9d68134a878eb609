//! What we sign, checked by the public library of Standard Webhooks in a receiver that is not ours.

use std::process::Stdio;

use picket_domain::{Dialect, WebhookSecret};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{
    python::python,
    stage::{Stage, by_message_alone},
};

struct PublicReceiver {
    url: String,
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl PublicReceiver {
    async fn start(python: &str, secret: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/receiver.py");
        let mut process = Command::new(python)
            .args([script, secret])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("PICKET_RECEIVER_PYTHON runs");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap().expect("the receiver starts: is `standardwebhooks` installed?");
        Self { url: format!("http://127.0.0.1:{port}/hook"), lines, _process: process }
    }

    async fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next_line().await.unwrap().unwrap()).unwrap()
    }
}

#[tokio::test]
async fn the_public_library_verifies_what_we_send() {
    let Some(python) = python() else { return };
    let stage = Stage::new().await;
    // The secret is made with the webhook, so the receiver learns it afterwards; its port is known only then.
    for dialect in Dialect::ALL {
        let (placeholder, secret) = stage.webhook("http://127.0.0.1:1/", dialect).await;
        let mut receiver = PublicReceiver::start(&python, secret.to_wire().as_str()).await;
        let moved = "UPDATE webhooks SET url = $2 WHERE id = $1";
        stage.admin.execute(moved, &[&placeholder.uuid(), &receiver.url]).await.unwrap();

        let [created, failed] = stage.scan().await;
        stage.relay(1).await;
        let dispatcher = stage.dispatcher(by_message_alone());
        let expected = match dialect {
            Dialect::V1 => vec![(created, "scan.created"), (failed, "scan.failed")],
            Dialect::V2 => vec![(failed, "scan.failed")],
        };
        let delivered = stage.settled(placeholder, expected.len(), "delivered").await;
        for (id, name) in &expected {
            let record = delivered.iter().find(|record| record.event_id == *id).unwrap();
            assert_eq!((record.event.as_str(), record.attempts[0].status), (*name, Some(204)));
        }
        for _ in &expected {
            let seen = receiver.next().await;
            assert_eq!(seen["error"], Value::Null, "{seen}");
            let id = seen["payload"]["id"].as_str().unwrap();
            assert_eq!(seen["headers"]["webhook-id"], id);
            assert!(expected.iter().any(|(event, name)| event.to_string() == id && seen["payload"]["event"] == *name));
            assert!(seen["payload"]["data"]["sequence"].is_i64());
        }
        dispatcher.stop().await;
        assert!(stage.delete(stage.organization, placeholder).await.unwrap());
    }
}

#[tokio::test]
async fn the_public_library_refuses_what_another_secret_signed() {
    let Some(python) = python() else { return };
    let stage = Stage::new().await;
    let other = WebhookSecret::from_bytes([9; 32]);
    let mut receiver = PublicReceiver::start(&python, other.to_wire().as_str()).await;
    let (webhook, _) = stage.webhook(&receiver.url, Dialect::V2).await;
    stage.scan().await;
    stage.relay(1).await;
    let dispatcher = stage.dispatcher(by_message_alone());
    assert_eq!(receiver.next().await["error"], "No matching signature found");
    assert_eq!(stage.waiting(webhook, 1).await.attempts[0].status, Some(400));
    dispatcher.stop().await;
}
