//! The payloads that both references print, as a receiver on this machine gets them from the dispatcher.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::SignedDuration;
use picket_dispatcher::DispatcherSettings;
use picket_kit::Health;
use picket_queue::{Broker, BrokerSettings};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use crate::{
    client::Client,
    life::{Life, observations},
    printed::{self, assert_like, json as printed_json},
    stack::Stack,
};

/// What a receiver got.
#[derive(Debug)]
struct Received {
    head: String,
    body: Vec<u8>,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name}: {}", self.head))
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Checks the signature as Standard Webhooks says, with code of our own.
    fn verify(&self, secret: &str) {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("a prefix")).expect("base64");
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
        mac.update(format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp")).as_bytes());
        mac.update(&self.body);
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert!(self.header("webhook-signature").split(' ').any(|signature| signature == expected));
    }
}

/// A receiver on a free port that takes everything.
async fn receiver() -> (String, UnboundedReceiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(receive(connection, sender.clone()));
        }
    });
    (url, receiver)
}

async fn receive(mut connection: TcpStream, sender: UnboundedSender<Received>) {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        if connection.read_buf(&mut bytes).await.expect("a request") == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        break (head.to_owned(), length.parse::<usize>().expect("a number"));
    };
    while bytes.len() < head.len() + 4 + length {
        assert_ne!(connection.read_buf(&mut bytes).await.expect("a body"), 0);
    }
    let body = bytes[head.len() + 4..].to_vec();
    connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("an answer");
    let _closed = sender.send(Received { head, body });
}

/// Runs the dispatcher beside the gateway. There is no relay here: its sweep finds the events.
async fn dispatch(stack: &Stack) {
    let namespace = picket_testkit::Namespace::new();
    let broker =
        Broker::new(BrokerSettings { url: namespace.url, prefix: namespace.prefix, name: "contract".to_owned() });
    let settings = DispatcherSettings { grace_ms: 0, sweep_ms: 20, poll_ms: 20, ..DispatcherSettings::default() };
    let parts = picket_dispatcher::Parts {
        db: stack.db.clone(),
        broker,
        http: stack.http(),
        mailer: None,
        sealer: stack.sealer.clone(),
        clock: stack.clock.clone(),
        health: Health::starting(),
        origin: "https://picket.example.com".to_owned(),
    };
    tokio::spawn(picket_dispatcher::run(settings, parts, stack.shutdown()));
}

async fn next(receiver: &mut UnboundedReceiver<Received>) -> Received {
    let wait = std::time::Duration::from_secs(30);
    tokio::time::timeout(wait, receiver.recv()).await.expect("a delivery in time").expect("a receiver")
}

async fn number_events(stack: &Stack) {
    stack.db.operate("test.number", async |tx| picket_store::events::number(tx).await).await.expect("numbers");
}

#[tokio::test]
async fn a_completed_scan_is_announced_as_both_references_print_it() {
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    let (url, mut received) = receiver().await;
    let mut secrets = Vec::new();
    for version in ["v1", "v2"] {
        let body = json!({"url": format!("{url}/{version}"), "events": ["scan.completed"]});
        let created = client.post(&format!("/api/{version}/webhooks"), &body).await.expect(201);
        assert_eq!(created["dialect"], version);
        secrets.push(created["secret"].as_str().unwrap().to_owned());
    }
    client.post("/api/v2/scans", &printed_json(printed::V2_CREATE)).await.expect(201);
    Life::begin(&stack).await.run(&observations([1, 2, 2, 0, 7]), SignedDuration::from_mins(15)).await;
    number_events(&stack).await;
    dispatch(&stack).await;

    for _ in 0..2 {
        let delivery = next(&mut received).await;
        let payload = delivery.json();
        let (printed, secret) = match delivery.head.lines().next().unwrap() {
            line if line.contains("/hook/v1 ") => (printed::V1_WEBHOOK, &secrets[0]),
            _ => (printed::V2_WEBHOOK, &secrets[1]),
        };
        delivery.verify(secret);
        let printed = printed_json(printed);
        assert_like(&printed, &payload);
        assert_eq!(payload["id"], delivery.header("webhook-id"));
        assert!(payload["data"]["sequence"].is_i64(), "{payload}");
        for field in ["status", "findings_count", "critical_count", "target", "vulnerabilities_found", "scan_duration"]
        {
            assert_eq!(payload["data"].get(field), printed["data"].get(field), "{field}");
        }
    }
}

#[tokio::test]
async fn every_printed_event_can_be_subscribed_to_in_its_dialect_alone() {
    let stack = Stack::start().await;
    let client = Client::register(&stack).await;
    let printed = [
        (
            "v1",
            ["scan.created", "scan.started", "scan.completed", "scan.failed", "report.generated", "finding.critical"]
                .as_slice(),
        ),
        ("v2", ["scan.started", "scan.completed", "scan.failed", "vulnerability.found"].as_slice()),
    ];
    for (version, events) in printed {
        let body = json!({"url": "http://127.0.0.1:9/", "events": events});
        let created = client.post(&format!("/api/{version}/webhooks"), &body).await.expect(201);
        let mut subscribed: Vec<_> =
            created["events"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let mut wanted = events.to_vec();
        subscribed.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(subscribed, wanted);
    }
    let foreign = json!({"url": "http://127.0.0.1:9/", "events": ["vulnerability.found"]});
    let refused = client.post("/api/v1/webhooks", &foreign).await.expect(400);
    assert_eq!(refused["errors"][0]["field"], "events");
}
