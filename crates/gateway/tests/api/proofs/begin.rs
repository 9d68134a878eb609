//! What a scan begins on: old proofs, tools that only look, what the operator denies, aliases; cases T7, T15, T16 and T18 of
//! the security design.

use super::*;

#[tokio::test]
async fn t16_a_proof_that_nobody_saw_in_a_day_is_looked_for_before_a_scan_relies_on_it() {
    let world = World::new().await;
    let ada = world.app.member("ada@example.com").await;
    world.dns.set_addresses("example.com", PUBLIC);
    world.prove_by_dns(&ada, "example.com").await;
    let record = "_picket-challenge.example.com";
    let first = world.scan(&ada, "example.com").await;
    assert_eq!(first.status, 201);
    let first = first.json()["id"].as_str().unwrap().to_owned();
    let kept = world.app.send("POST", &format!("/api/v1/scan/{first}/stop"), Some(&ada.token)).await;
    assert_eq!(kept.status, 200, "{}", kept.text);
    // Within a day nobody looks.
    let client = world.app.database.connect().await;
    world.dns.set_texts(record, &["gone"]);
    world.app.clock.advance(SignedDuration::from_hours(23));
    assert_eq!(world.scan(&ada, "example.com").await.status, 201);
    world.app.clock.advance(SignedDuration::from_hours(2));
    let rerun = format!("/api/v1/scan/{first}/rerun");
    let v2 = json!({"target": "www.example.com", "scan_type": "quick"});
    world.dns.set_addresses("www.example.com", PUBLIC);
    world.scan(&ada, "example.com").await.assert_problem(403, "target_not_authorized");
    world.app.post("/api/v2/scans", Some(&ada.token), &v2).await.assert_problem(403, "target_not_authorized");
    world.app.post(&rerun, Some(&ada.token), &json!({})).await.assert_problem(403, "target_not_authorized");
    // Who only asks what it would come to makes us call nobody: the proof counts as it was seen last.
    let estimate = world.app.post("/api/v2/scans/estimate", Some(&ada.token), &v2).await;
    assert_eq!(estimate.status, 200, "{}", estimate.text);
    assert!(!estimate.text.contains("target_not_authorized"), "{}", estimate.text);
    let sql = "SELECT failures, ended_at IS NULL FROM target_proofs";
    let stands = async || {
        let row = client.query_one(sql, &[]).await.unwrap();
        (row.get::<_, i32>(0), row.get::<_, bool>(1))
    };
    assert_eq!(stands().await, (1, true), "three looks at one moment are one");
    // A look for which there was no answer is none.
    world.dns.set_failing(record, true);
    world.app.clock.advance(SignedDuration::from_mins(11));
    world.scan(&ada, "example.com").await.assert_problem(403, "target_not_authorized");
    assert_eq!(stands().await, (1, true));
    world.dns.set_failing(record, false);
    world.scan(&ada, "example.com").await.assert_problem(403, "target_not_authorized");
    assert_eq!(stands().await, (2, false), "two in a row end it");
    let ended = "SELECT count(*) FROM audit_log WHERE action = 'target.proof_ended' AND actor <> 'steward'";
    assert_eq!(client.query_one(ended, &[]).await.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test]
async fn t16_name_servers_that_fail_say_nothing_once_and_what_is_found_is_noted() {
    let world = World::new().await;
    let ada = world.app.member("ada@example.com").await;
    world.dns.set_addresses("example.com", PUBLIC);
    let path = world.prove_by_dns(&ada, "example.com").await;
    let (record, client) = ("_picket-challenge.example.com", world.app.database.connect().await);
    world.app.clock.advance(SignedDuration::from_hours(25));
    world.dns.set_failing(record, true);
    assert_eq!(world.scan(&ada, "example.com").await.status, 201);
    client.batch_execute("UPDATE target_proofs SET failures = 1").await.unwrap();
    world.scan(&ada, "example.com").await.assert_problem(403, "target_not_authorized");
    // Who finds it notes that, and the next one does not look.
    world.dns.set_failing(record, false);
    let text = world.start_again(&ada, &path).await;
    world.dns.set_texts(record, &[&text]);
    assert_eq!(world.check(&ada, &path).await, looked("verified", "found"));
    world.app.clock.advance(SignedDuration::from_hours(25));
    assert_eq!(world.scan(&ada, "example.com").await.status, 201);
    world.dns.set_texts(record, &["gone"]);
    assert_eq!(world.scan(&ada, "example.com").await.status, 201, "it was seen a moment ago");
}

#[tokio::test]
async fn every_plan_needs_a_proof_since_each_tries_named_attacks() {
    let world = World::new().await;
    let ada = world.app.member("ada@example.com").await;
    world.dns.set_addresses("example.com", PUBLIC);
    let plan = async |options: Value| {
        let body = json!({"target": "example.com", "scan_type": "custom", "options": options});
        world.app.post("/api/v2/scans", Some(&ada.token), &body).await.status
    };
    assert_eq!(plan(json!({"ssl_scan": true})).await, 403);
    assert_eq!(plan(json!({"ssl_scan": true, "port_scan": true})).await, 403);
    assert_eq!(plan(json!({"ssl_scan": true, "web_scan": true})).await, 403);
    assert_eq!(plan(json!({"include_subdomain": true})).await, 403);
}

#[tokio::test]
async fn a_tool_that_only_looks_needs_no_proof_and_every_other_one_does() {
    let world = World::new().await;
    let ada = world.app.member("ada@example.com").await;
    world.dns.set_addresses("example.com", PUBLIC);
    world.dns.set_addresses("inside.example.com", &["10.0.0.7"]);
    let create = async |tool: &str, parameters: Value, target: &str| {
        let body = json!({"target": target, "tool": tool, "parameters": parameters});
        world.app.post("/api/v1/scans/create", Some(&ada.token), &body).await
    };
    for (tool, parameters) in [
        ("sslscan", json!({"heartbleed": false})),
        ("sslscan", json!({"port": 8443, "heartbleed": false})),
        ("whatweb", json!({"port": 443})),
        ("testssl", json!({"checks": ["headers", "protocols", "certificate"]})),
    ] {
        let made = create(tool, parameters.clone(), "example.com").await;
        assert_eq!(made.status, 201, "{tool}: {}", made.text);
        create(tool, parameters.clone(), "inside.example.com").await.assert_problem(400, "target_forbidden");
        create(tool, parameters, "93.184.215.0/30").await.assert_problem(403, "target_not_authorized");
    }
    for (tool, parameters) in [
        ("nmap", json!({})),
        ("nikto", json!({})),
        ("wapiti", json!({})),
        ("ffuf", json!({})),
        ("wafw00f", json!({})),
        ("ssh-audit", json!({})),
        ("subdomains", json!({})),
        ("sslscan", json!({})),
        ("sslscan", json!({"heartbleed": true})),
        ("sslyze", json!({})),
        ("sslyze", json!({"port": 8443})),
        ("testssl", json!({})),
        ("testssl", json!({"checks": ["headers", "robot"]})),
        ("whatweb", json!({"aggression": 3})),
        ("whatweb", json!({"path": "/logout"})),
    ] {
        let refused = create(tool, parameters.clone(), "example.com").await;
        assert_eq!(refused.status, 403, "{tool} {parameters}: {}", refused.text);
    }
    let client = world.app.database.connect().await;
    let sql = "SELECT count(*) FROM scans WHERE authority ->> 'by' = 'passive' AND jsonb_array_length(authority -> 'only') = 1";
    assert_eq!(client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 4);
}

#[tokio::test]
async fn t15_what_the_operator_denies_is_scanned_by_nobody_whatever_allows_it() {
    let dns = Dns::start().await;
    let outbound = OutboundSettings { name_servers: vec![dns.address], ..OutboundSettings::default() };
    let clock = Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap());
    let change = |settings: &mut picket_gateway::GatewaySettings| {
        settings.registration_plan = Subscription::Enterprise;
        settings.allow_targets = vec!["0.0.0.0/0".to_owned(), "*.example.com".to_owned()];
        settings.deny_targets = vec!["93.184.215.14".to_owned(), "*.corp.example.com".to_owned()];
    };
    let app = TestApp::spawn_calling(clock, outbound, change).await;
    let ada = app.member("ada@example.com").await;
    dns.set_addresses("ours.example.com", &["8.8.8.8", "93.184.215.14"]);
    dns.set_alias("alias.example.com", "ours.example.com");
    dns.set_addresses("db.corp.example.com", &["8.8.8.8"]);
    dns.set_addresses("other.example.com", &["8.8.8.8"]);
    for target in ["93.184.215.14", "93.184.215.0/28", "ours.example.com", "alias.example.com", "db.corp.example.com"] {
        for (path, body) in [
            ("/api/v1/scans/create", json!({"target": target, "tool": "nmap"})),
            ("/api/v1/scans/create", json!({"target": target, "tool": "sslscan"})),
            ("/api/v2/scans", json!({"target": target, "scan_type": "quick"})),
        ] {
            app.post(path, Some(&ada.token), &body).await.assert_problem(400, "target_forbidden");
        }
        let dry = app.post("/api/v1/tools/nmap/build-command", Some(&ada.token), &json!({"target": target})).await;
        assert!(dry.text.contains("target_forbidden"), "{target}: {}", dry.text);
    }
    let body = json!({"target": "other.example.com", "tool": "nmap"});
    assert_eq!(app.post("/api/v1/scans/create", Some(&ada.token), &body).await.status, 201);
}

#[tokio::test]
async fn t7_an_alias_that_leads_inside_is_refused_whoever_has_proven_the_name() {
    let world = World::new().await;
    let ada = world.app.member("ada@example.com").await;
    world.prove_by_dns(&ada, "example.com").await;
    world.dns.set_addresses("intranet.example.net", &["10.0.0.7"]);
    world.dns.set_addresses("public.example.net", PUBLIC);
    world.dns.set_alias("www.example.com", "intranet.example.net");
    world.dns.set_alias("shop.example.com", "public.example.net");
    world.scan(&ada, "www.example.com").await.assert_problem(400, "target_forbidden");
    assert_eq!(world.scan(&ada, "shop.example.com").await.status, 201);
    world.dns.set_alias("n0.example.com", "public.example.net");
    for n in 1..9 {
        world.dns.set_alias(&format!("n{n}.example.com"), &format!("n{}.example.com", n - 1));
    }
    assert_eq!(world.scan(&ada, "n7.example.com").await.status, 201, "eight aliases");
    world.scan(&ada, "n8.example.com").await.assert_field("target", "target_unresolvable");
}

#[tokio::test]
async fn t18_one_target_a_thousand_times_is_bounded_and_two_organizations_know_nothing_of_each_other() {
    let world = World::new().await;
    let (ada, bob) = (world.app.member("ada@example.com").await, world.app.member("bob@example.com").await);
    world.dns.set_addresses("example.com", PUBLIC);
    world.prove_by_dns(&ada, "example.com").await;
    let most = Subscription::Trial.limits().concurrent_scans;
    let client = world.app.database.connect().await;
    client.batch_execute("UPDATE organizations SET plan = 'trial'").await.unwrap();
    for place in 0..most + 5 {
        let made = world.scan(&ada, "example.com").await;
        if place < most {
            assert_eq!(made.status, 201, "{}", made.text);
        } else {
            made.assert_problem(409, "limit_reached");
        }
    }
    let sql = "SELECT count(*) FROM scans WHERE state = 'created'";
    assert_eq!(client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), i64::from(most));
    world.scan(&bob, "example.com").await.assert_problem(403, "target_not_authorized");
    let listed = world.app.get("/api/v1/scans", Some(&bob.token)).await.json();
    assert_eq!(listed["data"], json!([]));
}
