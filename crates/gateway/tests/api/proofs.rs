//! Proving targets, with a DNS server and a web site on loopback: cases T7, T8, T13, T14 and T16 of the security design.

use jiff::SignedDuration;
use picket_domain::Subscription;
use picket_kit::Clock;
use picket_outbound::OutboundSettings;
use picket_testkit::{Dns, Site};
use serde_json::{Value, json};

use crate::harness::{Answer, Member, TestApp};

mod begin;

/// A public address; nothing is ever sent there, since no worker runs.
const PUBLIC: &[&str] = &["93.184.215.14"];

struct World {
    app: TestApp,
    dns: Dns,
    site: Site,
}

impl World {
    async fn new() -> Self {
        let (dns, site) = (Dns::start().await, Site::start().await);
        let outbound = OutboundSettings {
            allowed_ranges: vec!["127.0.0.0/8".parse().unwrap()],
            allow_http: true,
            name_servers: vec![dns.address],
            proof_http_port: site.port,
            ..OutboundSettings::default()
        };
        let clock = Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap());
        let change = |settings: &mut picket_gateway::GatewaySettings| {
            settings.registration_plan = Subscription::Enterprise;
            settings.session_days = 365;
            settings.access_token_minutes = 60 * 24 * 200;
        };
        Self { app: TestApp::spawn_calling(clock, outbound, change).await, dns, site }
    }

    /// Keeps a target; its path.
    async fn target(&self, member: &Member, target: &str) -> String {
        let kept = self.app.post("/api/v1/targets", Some(&member.token), &json!({"target": target})).await;
        assert_eq!(kept.status, 201, "{}", kept.text);
        kept.header("location").unwrap().to_owned()
    }

    async fn start(&self, member: &Member, target: &str, method: &str) -> Value {
        let path = format!("{target}/verification");
        let started = self.app.post(&path, Some(&member.token), &json!({"method": method})).await;
        assert_eq!(started.status, 201, "{}", started.text);
        started.json()
    }

    /// Looks now; the state, and what came of the only look.
    async fn check(&self, member: &Member, target: &str) -> (String, String) {
        let answer = self.app.send("POST", &format!("{target}/verification/check"), Some(&member.token)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let view = answer.json();
        let looks: Vec<&Value> = view["proofs"].as_array().unwrap().iter().map(|proof| &proof["look"]).collect();
        let look = looks.into_iter().find(|look| !look.is_null()).unwrap();
        let code = look["code"].as_str().unwrap_or(if look["found"] == true { "found" } else { "?" });
        (view["state"].as_str().unwrap().to_owned(), code.to_owned())
    }

    async fn scan(&self, member: &Member, target: &str) -> Answer {
        let body = json!({"target": target, "tool": "nmap"});
        self.app.post("/api/v1/scans/create", Some(&member.token), &body).await
    }

    /// Takes the proof away and begins anew; the text to put there.
    async fn start_again(&self, member: &Member, target: &str) -> String {
        let gone = self.app.delete(&format!("{target}/verification"), Some(&member.token)).await;
        assert_eq!(gone.status, 204, "{}", gone.text);
        self.start(member, target, "dns_txt").await["text"].as_str().unwrap().to_owned()
    }

    async fn prove_by_dns(&self, member: &Member, name: &str) -> String {
        let path = self.target(member, name).await;
        let text = self.start(member, &path, "dns_txt").await["text"].as_str().unwrap().to_owned();
        self.dns.set_texts(&format!("_picket-challenge.{name}"), &["other", &text]);
        assert_eq!(self.check(member, &path).await, ("verified".to_owned(), "found".to_owned()), "{name}");
        path
    }
}

fn looked(state: &str, look: &str) -> (String, String) {
    (state.to_owned(), look.to_owned())
}

#[tokio::test]
async fn a_record_proves_a_domain_with_all_that_is_below_for_90_days() {
    let world = World::new().await;
    let ada = world.app.member("ada@example.com").await;
    for name in ["example.com", "www.example.com", "example.net"] {
        world.dns.set_addresses(name, PUBLIC);
    }
    world.scan(&ada, "example.com").await.assert_problem(403, "target_not_authorized");
    let path = world.target(&ada, "example.com").await;
    let none = world.app.send("POST", &format!("{path}/verification/check"), Some(&ada.token)).await;
    none.assert_problem(409, "invalid_state");
    let started = world.start(&ada, &path, "dns_txt").await;
    assert_eq!(started["place"], "_picket-challenge.example.com");
    assert_eq!(started["expires_at"], "2026-01-22T14:30:00Z");
    assert_eq!(world.check(&ada, &path).await, looked("pending", "missing"));
    // A new token takes the place of the first.
    let text = world.start(&ada, &path, "dns_txt").await["text"].as_str().unwrap().to_owned();
    world.dns.set_texts("_picket-challenge.example.com", &[started["text"].as_str().unwrap()]);
    assert_eq!(world.check(&ada, &path).await, looked("pending", "another_token"));
    world.dns.set_texts("_picket-challenge.example.com", &["v=spf1 -all", &text]);
    assert_eq!(world.check(&ada, &path).await, looked("verified", "found"));
    let target = world.app.get(&path, Some(&ada.token)).await.json();
    assert_eq!(target["verification"], json!({"state": "verified", "verified_until": "2026-04-15T14:30:00Z"}));
    for name in ["example.com", "www.example.com"] {
        let made = world.scan(&ada, name).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    world.scan(&ada, "example.net").await.assert_problem(403, "target_not_authorized");
    let sql = "SELECT count(*) FROM scans AS s JOIN target_proofs AS p ON p.id = (s.authority ->> 'id')::uuid";
    let client = world.app.database.connect().await;
    assert_eq!(client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 2, "each names the proof that it relies on");
    world.app.clock.advance(SignedDuration::from_hours(90 * 24));
    world.scan(&ada, "example.com").await.assert_problem(403, "target_not_authorized");
}

#[tokio::test]
async fn t13_a_file_or_a_tag_proves_that_host_and_nobody_elses() {
    let world = World::new().await;
    let (ada, bob) = (world.app.member("ada@example.com").await, world.app.member("bob@example.com").await);
    let file = "/.well-known/picket-verification.txt";
    for (name, method) in [("file.example.com", "http_file"), ("tag.example.com", "meta_tag")] {
        world.dns.set_addresses(name, &["127.0.0.1"]);
        let own = world.target(&ada, name).await;
        let text = world.start(&ada, &own, method).await["text"].as_str().unwrap().to_owned();
        let path = if method == "http_file" { file } else { "/" };
        assert_eq!(world.check(&ada, &own).await, looked("pending", "unexpected_status"));
        if method == "http_file" {
            world.site.set(path, &format!("{text}{}", " ".repeat(100)));
            assert_eq!(world.check(&ada, &own).await, looked("pending", "missing"), "longer than 128 bytes");
            world.site.set(path, &format!("{text}\n"));
        } else {
            world.site.set(path, &format!("<!doctype html><body>{text}"));
            assert_eq!(world.check(&ada, &own).await, looked("pending", "missing"), "not in the head");
            world.site.set(path, &format!("<!doctype html><head><title>x</title>{text}</head>"));
        }
        assert_eq!(world.check(&ada, &own).await, looked("verified", "found"), "{method}");
        // The token of one organization says nothing for another.
        let foreign = world.target(&bob, name).await;
        world.start(&bob, &foreign, method).await;
        assert_eq!(world.check(&bob, &foreign).await, looked("pending", "another_token"));
        world.dns.set_addresses(name, PUBLIC);
        world.dns.set_addresses(&format!("www.{name}"), PUBLIC);
        assert_eq!(world.scan(&ada, name).await.status, 201);
        world.scan(&ada, &format!("www.{name}")).await.assert_problem(403, "target_not_authorized");
        world.scan(&bob, name).await.assert_problem(403, "target_not_authorized");
    }
}

#[tokio::test]
async fn t13_a_token_is_good_for_one_target_and_not_after_its_removal() {
    let world = World::new().await;
    let ada = world.app.member("ada@example.com").await;
    world.dns.set_addresses("example.com", PUBLIC);
    let path = world.prove_by_dns(&ada, "example.com").await;
    let again = world.app.post(&format!("{path}/verification"), Some(&ada.token), &json!({"method": "dns_txt"})).await;
    again.assert_problem(409, "invalid_state");
    assert_eq!(world.app.delete(&path, Some(&ada.token)).await.status, 204);
    world.scan(&ada, "example.com").await.assert_problem(403, "target_not_authorized");
    // Kept anew, with the old record still there.
    let path = world.target(&ada, "example.com").await;
    world.start(&ada, &path, "dns_txt").await;
    assert_eq!(world.check(&ada, &path).await, looked("pending", "another_token"));
    for suffix in ["co.uk", "github.io"] {
        let kept = world.app.post("/api/v1/targets", Some(&ada.token), &json!({"target": suffix})).await;
        kept.assert_field("target", "invalid_target");
    }
    // Networks and addresses have no record of their own.
    for (target, method) in [("8.8.8.0/24", "http_file"), ("8.8.8.8", "dns_txt")] {
        let path = world.target(&ada, target).await;
        let body = json!({"method": method});
        let refused = world.app.post(&format!("{path}/verification"), Some(&ada.token), &body).await;
        refused.assert_field("method", "unsuited");
    }
}

#[tokio::test]
async fn a_token_is_shown_once_and_waits_for_a_week() {
    let world = World::new().await;
    let ada = world.app.member("ada@example.com").await;
    let path = world.target(&ada, "example.com").await;
    let started = world.start(&ada, &path, "dns_txt").await;
    let token = started["token"].as_str().unwrap();
    for answer in [
        world.app.get(&path, Some(&ada.token)).await,
        world.app.get(&format!("{path}/verification"), Some(&ada.token)).await,
        world.app.send("POST", &format!("{path}/verification/check"), Some(&ada.token)).await,
        world.app.get("/api/v1/audit-logs", Some(&ada.token)).await,
    ] {
        assert!(answer.status == 200 && !answer.text.contains(token), "{}", answer.text);
    }
    let sql = "SELECT count(*) FROM target_proofs AS p WHERE p.digest = sha256($1::text::bytea) AND p::text NOT LIKE '%' || $1 || '%'";
    let row = world.app.database.connect().await.query_one(sql, &[&token]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
    world.dns.set_texts("_picket-challenge.example.com", &[started["text"].as_str().unwrap()]);
    world.app.clock.advance(SignedDuration::from_hours(7 * 24));
    let late = world.app.send("POST", &format!("{path}/verification/check"), Some(&ada.token)).await;
    late.assert_problem(409, "invalid_state");
    let view = world.app.get(&format!("{path}/verification"), Some(&ada.token)).await.json();
    assert_eq!((&view["state"], &view["proofs"][0]["state"]), (&json!("unverified"), &json!("expired")));
}

#[tokio::test]
async fn t7_and_t8_a_look_leads_nowhere_inside_and_follows_nobody() {
    let world = World::new().await;
    let ada = world.app.member("ada@example.com").await;
    let path = world.target(&ada, "example.com").await;
    let text = world.start(&ada, &path, "http_file").await["text"].as_str().unwrap().to_owned();
    let file = "/.well-known/picket-verification.txt";
    world.site.set("/elsewhere", &text);
    world.site.redirect(file, "/elsewhere");
    world.dns.set_addresses("example.com", &["127.0.0.1"]);
    assert_eq!(world.check(&ada, &path).await, looked("pending", "unexpected_status"));
    // The file is there now, but one of the name's addresses is not to be called.
    world.site.set(file, &text);
    for inside in ["10.0.0.7", "169.254.169.254", "fd00::1"] {
        world.dns.set_addresses("inside.example.com", &["127.0.0.1", inside]);
        let path = world.target(&ada, "inside.example.com").await;
        world.start(&ada, &path, "http_file").await;
        assert_eq!(world.check(&ada, &path).await, looked("pending", "refused_address"), "{inside}");
        world.app.delete(&path, Some(&ada.token)).await;
        world.app.clock.advance(SignedDuration::from_secs(60));
    }
    // Nor does a proof open such an address to a scan, whatever the name led to when it was given.
    world.prove_by_dns(&ada, "rebind.net").await;
    for addresses in [&["93.184.215.14", "10.0.0.7"][..], &["fd00::1"], &["127.0.0.1"]] {
        let name = format!("n{}.rebind.net", addresses.len() + addresses[0].len());
        world.dns.set_addresses(&name, addresses);
        world.scan(&ada, &name).await.assert_problem(400, "target_forbidden");
    }
}

#[tokio::test]
async fn t14_of_fifty_targets_the_one_without_a_proof_is_refused() {
    let world = World::new().await;
    let ada = world.app.member("ada@example.com").await;
    for n in 0..50 {
        let name = format!("t{n}.net");
        world.dns.set_addresses(&name, PUBLIC);
        if n == 37 {
            world.target(&ada, &name).await;
        } else {
            world.prove_by_dns(&ada, &name).await;
        }
    }
    for n in 0..50 {
        let made = world.scan(&ada, &format!("t{n}.net")).await;
        assert_eq!(made.status, if n == 37 { 403 } else { 201 }, "{n}: {}", made.text);
    }
}

#[tokio::test]
async fn t16_withdrawing_a_proof_ends_what_waits() {
    let world = World::new().await;
    let ada = world.app.member("ada@example.com").await;
    world.dns.set_addresses("example.com", PUBLIC);
    let path = world.prove_by_dns(&ada, "example.com").await;
    let scan = world.scan(&ada, "example.com").await.json()["id"].as_str().unwrap().to_owned();
    let withdraw = async || world.app.delete(&format!("{path}/verification"), Some(&ada.token)).await.status;
    assert_eq!((withdraw().await, withdraw().await), (204, 204));
    let view = world.app.get(&format!("/api/v1/scan/{scan}"), Some(&ada.token)).await;
    assert_eq!(view.json()["status"], "failed", "{}", view.text);
    assert!(view.text.contains("target_not_authorized"), "{}", view.text);
    world.scan(&ada, "example.com").await.assert_problem(403, "target_not_authorized");
    let log = world.app.get("/api/v1/audit-logs?action=target.proof_ended", Some(&ada.token)).await.json();
    assert_eq!(log["data"].as_array().unwrap().len(), 1);
    assert_eq!(log["data"][0]["after"]["reason"], "withdrawn");
}

#[tokio::test]
async fn a_document_allows_its_target_within_its_window() {
    let world = World::new().await;
    let ada = world.app.member("ada@example.com").await;
    for name in ["example.com", "www.example.com"] {
        world.dns.set_addresses(name, PUBLIC);
    }
    let path = world.target(&ada, "example.com").await;
    let put = async |change: Value| {
        let mut body = json!({"not_before": "2026-01-16T00:00:00Z", "not_after": "2026-01-17T00:00:00Z",
                              "approver": "Grace Hopper", "document_sha256": "ab".repeat(32)});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        world
            .app
            .request("PUT", &format!("{path}/authorization"), Some(&ada.token), |request| request.json(&body))
            .await
    };
    for (change, field, code) in [
        (json!({"not_after": "2026-01-15T00:00:00Z"}), "not_after", "out_of_range"),
        (json!({"not_after": "2028-01-15T00:00:00Z"}), "not_after", "out_of_range"),
        (json!({"approver": ""}), "approver", "invalid_value"),
        (json!({"document_sha256": "ab"}), "document_sha256", "invalid_value"),
        (json!({"scope": "everything"}), "scope", "unknown_value"),
        (json!({"not_before": "yesterday"}), "not_before", "invalid_value"),
        (json!({"comment": "x"}), "comment", "unknown_field"),
    ] {
        put(change).await.assert_field(field, code);
    }
    let recorded = put(json!({})).await;
    assert_eq!(recorded.status, 200, "{}", recorded.text);
    world.scan(&ada, "example.com").await.assert_problem(403, "target_not_authorized");
    world.app.clock.advance(SignedDuration::from_hours(10));
    assert_eq!(world.scan(&ada, "example.com").await.status, 201);
    world.scan(&ada, "www.example.com").await.assert_problem(403, "target_not_authorized");
    world.app.clock.advance(SignedDuration::from_hours(24));
    world.scan(&ada, "example.com").await.assert_problem(403, "target_not_authorized");
    let target = world.app.get(&path, Some(&ada.token)).await.json();
    assert_eq!(target["authorization"]["valid"], false);
    assert_eq!(target["authorization"]["approver"], "Grace Hopper");
    assert_eq!(target["last_scan"]["status"], "created");
}

#[tokio::test]
async fn only_admins_authorize_in_writing() {
    let world = World::new().await;
    let ada = world.app.member("ada@example.com").await;
    let path = world.target(&ada, "example.com").await;
    world.app.set_role(&ada, "analyst").await;
    let token = world.app.sign_in("ada@example.com").await;
    let body = json!({"not_before": "2026-01-16T00:00:00Z", "not_after": "2026-01-17T00:00:00Z", "approver": "A",
                      "document_sha256": "ab".repeat(32)});
    let put = async || {
        world.app.request("PUT", &format!("{path}/authorization"), Some(&token), |request| request.json(&body)).await
    };
    world.app.eventually(put, 403).await.assert_problem(403, "forbidden");
    world.app.delete(&format!("{path}/verification"), Some(&token)).await.assert_problem(403, "forbidden");
}

#[tokio::test]
async fn the_dry_run_says_that_a_proof_is_missing() {
    let world = World::new().await;
    let ada = world.app.member("ada@example.com").await;
    world.dns.set_addresses("example.com", PUBLIC);
    let body = json!({"target": "example.com"});
    let rehearsal = world.app.post("/api/v1/tools/nmap/build-command", Some(&ada.token), &body).await.json();
    assert_eq!(rehearsal["verdict"]["reasons"][0]["code"], "target_not_authorized", "{rehearsal}");
}
