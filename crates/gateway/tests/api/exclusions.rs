//! `/exclusions`.

use picket_domain::Subscription;
use picket_kit::Clock;
use serde_json::{Value, json};

use crate::{
    harness::{Member, TestApp},
    scans::allow_example,
};

async fn start() -> (TestApp, Member) {
    start_at(Clock::system()).await
}

async fn start_at(clock: Clock) -> (TestApp, Member) {
    let app = TestApp::spawn_at(clock, |settings| {
        allow_example(settings);
        settings.access_token_minutes = 24 * 60;
        settings.registration_plan = Subscription::Enterprise;
        settings.allow_targets.push("127.0.0.0/8".to_owned());
    })
    .await;
    let member = app.member("ada@example.com").await;
    (app, member)
}

#[tokio::test]
async fn what_is_excluded_is_refused_by_name_and_by_address() {
    let (app, ada) = start().await;
    let bob = app.member("bob@example.com").await;
    let scan = async |who: &Member, target: &str| {
        app.post("/api/v1/scans/create", Some(&who.token), &json!({"target": target, "tool": "nmap"})).await
    };
    for (value, kind, targets) in [
        ("Example.com", "host", vec!["example.com"]),
        ("*.com", "names", vec!["example.com"]),
        ("127.0.0.0/30", "network", vec!["example.com", "127.0.0.1", "127.0.0.0/24"]),
    ] {
        let made =
            app.post("/api/v1/exclusions", Some(&ada.token), &json!({"value": value, "reason": "fragile"})).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let made = made.json();
        assert_eq!((made["kind"].as_str().unwrap(), &made["reason"]), (kind, &json!("fragile")));
        for target in targets {
            let refused = scan(&ada, target).await;
            refused.assert_problem(400, "target_excluded");
            let named = refused.json()["errors"][0]["message"].as_str().unwrap().to_owned();
            assert!(named.contains(made["value"].as_str().unwrap()), "{named}");
            let v2 = app.post("/api/v2/scans", Some(&ada.token), &json!({"target": target})).await;
            v2.assert_problem(400, "target_excluded");
            assert_eq!(scan(&bob, target).await.status, 201, "another organization's exclusions");
        }
        app.post("/api/v1/exclusions", Some(&ada.token), &json!({"value": value}))
            .await
            .assert_problem(409, "already_exists");
        let path = format!("/api/v1/exclusions/{}", made["id"].as_str().unwrap());
        assert_eq!(app.delete(&path, Some(&ada.token)).await.status, 204);
        app.delete(&path, Some(&ada.token)).await.assert_problem(404, "not_found");
        assert_eq!(scan(&ada, "example.com").await.status, 201);
    }
    assert_eq!(app.get("/api/v1/exclusions", Some(&ada.token)).await.json()["pagination"]["total"], 0);
}

#[tokio::test]
async fn an_exclusion_stops_what_is_on_its_way_there() {
    let (app, ada) = start().await;
    let scan = async |target: &str| {
        let body = json!({"target": target, "tool": "nmap"});
        app.post("/api/v1/scans/create", Some(&ada.token), &body).await.json()["id"].as_str().unwrap().to_owned()
    };
    let (covered, other) = (scan("example.com").await, scan("127.0.0.2").await);
    let made = app.post("/api/v1/exclusions", Some(&ada.token), &json!({"value": "127.0.0.1"})).await.json();
    assert_eq!(made["stopped_tasks"], 1);
    let view = async |id: &str| app.get(&format!("/api/v1/scan/{id}"), Some(&ada.token)).await;
    let stopped = view(&covered).await;
    assert_eq!(stopped.json()["status"], "failed", "{}", stopped.text);
    assert!(stopped.text.contains("target_excluded"), "{}", stopped.text);
    assert_eq!(view(&other).await.json()["status"], "created");
    let log = app.get("/api/v1/audit-logs?action=exclusion.created", Some(&ada.token)).await.json();
    assert_eq!(log["data"][0]["after"]["stopped_tasks"], 1);
}

#[tokio::test]
async fn what_excludes_nothing_is_refused_and_analysts_take_none_away() {
    let (app, ada) = start().await;
    let post = async |body: Value| app.post("/api/v1/exclusions", Some(&ada.token), &body).await;
    for value in ["", "*", "10.0.0.1/8", "a b", "%", "http://example.com"] {
        post(json!({"value": value})).await.assert_field("value", "invalid_value");
    }
    post(json!({"value": "example.com", "reason": ""})).await.assert_field("reason", "invalid_value");
    post(json!({"value": "example.com", "hours": 3})).await.assert_field("hours", "invalid_type");
    let made = post(json!({"value": "example.org"})).await.json();
    app.set_role(&ada, "analyst").await;
    let token = app.sign_in("ada@example.com").await;
    let path = format!("/api/v1/exclusions/{}", made["id"].as_str().unwrap());
    app.eventually(async || app.delete(&path, Some(&token)).await, 403).await.assert_problem(403, "forbidden");
}

#[tokio::test]
async fn an_exclusion_with_hours_refuses_within_them_alone() {
    // A Thursday.
    let (app, ada) = start_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap())).await;
    let scan = async || {
        app.post("/api/v1/scans/create", Some(&ada.token), &json!({"target": "example.com", "tool": "nmap"})).await
    };
    let exclude = async |hours: Value| {
        let body = json!({"value": "example.com", "hours": hours});
        app.post("/api/v1/exclusions", Some(&ada.token), &body).await
    };
    for (hours, field) in [
        (json!({"days": [], "begins": "09:00", "ends": "17:00"}), "hours.days"),
        (json!({"days": ["mon"], "begins": "9", "ends": "17:00"}), "hours.begins"),
        (json!({"days": ["mon"], "begins": "09:00", "ends": "09:00"}), "hours.ends"),
        (json!({"days": ["mon"], "begins": "09:00", "ends": "17:00", "time_zone": "Nowhere"}), "hours.time_zone"),
    ] {
        exclude(hours).await.assert_field(field, "invalid_value");
    }
    exclude(json!({"days": ["mon"], "begins": "09:00", "ends": "17:00", "x": 1}))
        .await
        .assert_field("hours.x", "unknown_field");

    let days = json!(["wed", "thu"]);
    let later = json!({"days": days, "begins": "16:00", "ends": "17:00"});
    let running = scan().await;
    assert_eq!(running.status, 201, "{}", running.text);
    let made = exclude(later).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    assert_eq!((&made["stopped_tasks"], &made["hours"]["time_zone"]), (&json!(0), &json!("UTC")));
    assert_eq!(scan().await.status, 201, "its hours have not begun");
    let listed = app.get("/api/v1/exclusions", Some(&ada.token)).await.json();
    assert_eq!(listed["data"][0]["hours"], made["hours"]);
    let log = app.get("/api/v1/audit-logs?action=exclusion.created", Some(&ada.token)).await.json();
    assert_eq!(log["data"][0]["after"]["exclusion"]["hours"]["begins"], json!("16:00"));
    app.clock.advance(jiff::SignedDuration::from_hours(2));
    scan().await.assert_problem(400, "target_excluded");
    app.clock.advance(jiff::SignedDuration::from_hours(1));
    let allowed = scan().await;
    assert_eq!(allowed.status, 201, "{}", allowed.text);
    // Within them from the start: what is on its way is stopped at once.
    let path = format!("/api/v1/exclusions/{}", made["id"].as_str().unwrap());
    assert_eq!(app.delete(&path, Some(&ada.token)).await.status, 204);
    let body = json!({"value": "example.com", "hours": {"days": days, "begins": "00:00", "ends": "24:00"}});
    let stops = app.post("/api/v1/exclusions", Some(&ada.token), &body).await.json();
    assert_eq!(stops["stopped_tasks"], json!(3));
}
