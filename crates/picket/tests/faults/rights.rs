//! Statement 34 of `docs/security.md`: a whole platform whose roles reach the broker as users of their own, each with the
//! rights of that role alone. What those users cannot do is shown in `crates/queue/tests/broker/rights.rs`.

use std::collections::BTreeMap;

use picket_testkit::{Database, Namespace, required};
use serde_json::json;

use crate::{
    platform::Platform,
    private::Private,
    process::eventually,
    stage::{LONG, Stage},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_with_users_of_their_own_at_the_broker_do_everything_and_only_the_steward_declares() {
    let private = Private::new("broker", &[]);
    let namespace = Namespace { url: private.start(), ..Namespace::new() };
    let users: BTreeMap<String, String> = private.users().into_iter().collect();
    let stage = Stage::undeclared(Database::new().await, namespace).await;
    let platform = Platform::on("users of the roles", stage, required("REDIS_URL")).await;
    let start = |role: &str| {
        let url = platform.broker.url(&users[role]);
        // The administrator's, which `AMQP_URL` is, goes unused.
        let variable = match role {
            "steward" => "PICKET_BROKER__ROLES__STEWARD",
            "worker" => "PICKET_BROKER__ROLES__WORKER",
            "dispatcher" => "PICKET_BROKER__ROLES__DISPATCHER",
            _ => "PICKET_BROKER__ROLES__RENDERER",
        };
        platform.start_with(role, "", &[(variable, &url), ("AMQP_URL", "amqp://nobody:wrong@127.0.0.1:1/%2f")])
    };
    let early = ["worker", "dispatcher", "renderer"].map(start);
    for role in &early {
        let waits = async || role.log().contains("awaited").then_some(());
        eventually("it waits for its queue", LONG, waits).await;
    }
    let _steward = start("steward");
    let (_gateway, base) = platform.gateway("").await;
    let scan = platform.scan(&json!({"tasks": 3, "findings": 2})).await;
    platform.stage.await_state(&scan, "completed").await;
    let ask = json!({"scan_ids": [scan.id.to_string()], "format": "json"});
    let (status, answer) = platform.post(&base, "/api/v1/reports/generate", None, &ask).await.unwrap();
    assert_eq!(status, 202, "{answer}");
    platform.verdict().await;
    let swept = "SELECT count(*) FROM deliveries WHERE state = 'delivered'";
    assert!(platform.stage.row(swept, &[]).await.get::<_, i64>(0) > 0, "the webhook heard");
    drop(early);
}
