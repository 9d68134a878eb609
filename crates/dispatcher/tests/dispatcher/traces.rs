//! The trace of the request that caused an event goes on in the dispatcher.

use picket_domain::Dialect;
use serde_json::Value;

use crate::{
    log::Log,
    receiver::Receiver,
    stage::{Stage, quick},
};

#[tokio::test]
async fn the_lines_of_a_delivery_name_the_trace_that_caused_it() {
    let log = Log::collect();
    let stage = Stage::new().await;
    let receiver = Receiver::answering("410 Gone").await;
    let (webhook, _) = stage.webhook(&receiver.url, Dialect::V2).await;
    stage.scan().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traceparent = format!("00-{trace}-00f067aa0ba902b7-01");
    stage.admin.execute("UPDATE events SET traceparent = $1", &[&traceparent]).await.unwrap();
    let dispatcher = stage.dispatcher(quick());
    let delivery = stage.settled(webhook, 1, "exhausted").await.remove(0);
    dispatcher.stop().await;

    let text = log.text();
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for (message, key, id) in [
        ("an event was fanned out", "event.id", delivery.event_id.to_string()),
        ("an attempt ended", "delivery.id", delivery.id.to_string()),
        ("a delivery ended without being taken", "delivery.id", delivery.id.to_string()),
    ] {
        let line = lines.iter().find(|line| line["message"] == message && line["span"][key] == id);
        let line = line.unwrap_or_else(|| panic!("no line `{message}` of {id}: {text}"));
        assert_eq!(line["span"]["trace.id"], trace, "{line}");
    }
}
