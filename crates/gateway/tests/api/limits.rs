//! Rate limits as `docs/contract.md` §8 prints them.

use picket_domain::Subscription;
use serde_json::json;

use crate::harness::{TestApp, dead_redis};

async fn limited() -> TestApp {
    TestApp::spawn_with(|settings| settings.rate_limits = true).await
}

#[tokio::test]
async fn a_trial_sends_five_at_once_and_is_told_when_to_go_on() {
    let app = limited().await;
    let member = app.member("ada@example.com").await;
    for left in (0..5).rev() {
        let answer = app.get("/api/v1/tools", Some(&member.token)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-ratelimit-limit"), Some("10"));
        assert_eq!(answer.header("x-ratelimit-remaining"), Some(left.to_string().as_str()));
        let reset: i64 = answer.header("x-ratelimit-reset").unwrap().parse().unwrap();
        let now = app.clock.now().as_second();
        assert!((now..=now + 31).contains(&reset), "{reset} at {now}");
    }
    let refused = app.get("/api/v1/tools", Some(&member.token)).await;
    refused.assert_problem(429, "rate_limited");
    assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
    let retry_after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=6).contains(&retry_after));
}

#[tokio::test]
async fn versions_count_apart_and_organizations_too() {
    let app = TestApp::spawn_with(|settings| {
        settings.rate_limits = true;
        settings.registration_plan = Subscription::Starter;
    })
    .await;
    let (ada, bob) = (app.member("ada@example.com").await, app.member("bob@example.com").await);
    let header = async |path: &str, token: &str| {
        let answer = app.get(path, Some(token)).await;
        let value = |name| answer.header(name).unwrap().parse::<u32>().unwrap();
        (value("x-ratelimit-limit"), value("x-ratelimit-remaining"))
    };
    assert_eq!(header("/api/v1/tools", &ada.token).await, (30, 14));
    assert_eq!(header("/api/v2/tools", &ada.token).await, (100, 99));
    assert_eq!(header("/api/v1/tools", &ada.token).await, (30, 13));
    assert_eq!(header("/api/v1/tools", &bob.token).await, (30, 14));
}

#[tokio::test]
async fn a_key_shares_the_count_of_its_organization() {
    let app = limited().await;
    let member = app.member("ada@example.com").await;
    let key = app.api_key(&member.token, &["tools:read"]).await;
    let answer = app.get("/api/v1/tools", Some(&key)).await;
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("3"));
}

#[tokio::test]
async fn public_routes_and_wrong_credentials_count_per_address() {
    let app = TestApp::spawn_with(|settings| {
        settings.rate_limits = true;
        settings.public_burst = 3;
    })
    .await;
    for _ in 0..3 {
        let answer = app.get("/api/v1/tools", Some("pk_nothing")).await;
        answer.assert_problem(401, "unauthenticated");
        assert_eq!(answer.header("x-ratelimit-limit"), Some("60"));
    }
    app.get("/api/v1/tools", Some("pk_nothing")).await.assert_problem(429, "rate_limited");
    let login = serde_json::json!({"email": "ada@example.com", "password": "x"});
    app.post("/api/v1/auth/login", None, &login).await.assert_problem(429, "rate_limited");
    let forwarded =
        app.request("GET", "/api/v1/tools", None, |request| request.header("x-forwarded-for", "192.0.2.7")).await;
    forwarded.assert_problem(429, "rate_limited");
    for path in ["/health", "/ready", "/openapi.json", "/docs"] {
        let answer = app.get(path, None).await;
        assert_eq!((answer.status, answer.header("x-ratelimit-limit")), (200, None), "{path}");
    }
}

#[tokio::test]
async fn behind_a_proxy_the_rightmost_foreign_address_counts() {
    let app = TestApp::spawn_with(|settings| {
        settings.rate_limits = true;
        settings.public_burst = 1;
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
    })
    .await;
    let from = async |forwarded: &'static str| {
        app.request("GET", "/api/v1/tools", None, |request| request.header("x-forwarded-for", forwarded)).await.status
    };
    assert_eq!(from("192.0.2.1").await, 401);
    assert_eq!(from("192.0.2.1, 10.1.1.1").await, 429);
    assert_eq!(from("198.51.100.9, 192.0.2.1").await, 429);
    assert_eq!(from("192.0.2.2").await, 401);
    assert_eq!(from("192.0.2.1, junk, 192.0.2.3").await, 401);
}

#[tokio::test]
async fn what_a_client_says_of_its_address_changes_nothing() {
    let app = TestApp::spawn_with(|settings| {
        settings.rate_limits = true;
        settings.public_burst = 2;
        settings.public_per_minute = 1;
    })
    .await;
    let mut statuses = Vec::new();
    for (number, name) in
        ["X-Forwarded-For", "Forwarded", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP"]
            .into_iter()
            .enumerate()
    {
        let value = if name == "Forwarded" { "for=203.0.113.9".to_owned() } else { format!("203.0.113.{number}") };
        let answer = app.request("GET", "/api/v1/tools", None, |request| request.header(name, value)).await;
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [401, 401, 429, 429, 429, 429]);
}

#[tokio::test]
async fn behind_a_proxy_one_subscriber_is_one_address_however_it_is_written() {
    let app = TestApp::spawn_with(|settings| {
        settings.rate_limits = true;
        settings.public_burst = 1;
        settings.public_per_minute = 1;
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
    })
    .await;
    let from = async |lines: &[&str]| {
        let all = |request: reqwest::RequestBuilder| {
            lines.iter().fold(request.header("forwarded", "for=198.51.100.77"), |request, line| {
                request.header("x-forwarded-for", *line)
            })
        };
        app.request("GET", "/api/v1/tools", None, all).await.status
    };
    assert_eq!(from(&["2001:db8:1:2::1"]).await, 401);
    assert_eq!(from(&["2001:db8:1:2:ffff::9"]).await, 429, "the same /64");
    assert_eq!(from(&["2001:db8:1:3::1"]).await, 401, "the next /64");
    assert_eq!(from(&["192.0.2.8"]).await, 401);
    assert_eq!(from(&["::ffff:192.0.2.8"]).await, 429, "IPv4 in IPv6");
    assert_eq!(from(&["192.0.2.8, 10.0.0.1", "10.0.0.2"]).await, 429, "two lines are one list");
    assert_eq!(from(&["192.0.2.9", "192.0.2.8, 10.0.0.1"]).await, 429, "the last line is the nearest");
    assert_eq!(from(&["203.0.113.1", "192.0.2.8"]).await, 429, "what the client wrote itself is not believed");
}

#[tokio::test]
async fn no_request_costs_twice() {
    let app = TestApp::spawn_with(|settings| {
        settings.rate_limits = true;
        settings.public_burst = 10;
        settings.public_per_minute = 1;
        settings.registration_plan = Subscription::Enterprise;
    })
    .await;
    let member = app.member("ada@example.com").await;
    let key = app.api_key(&member.token, &["tools:read"]).await;
    let remaining = |answer: &crate::harness::Answer| answer.header("x-ratelimit-remaining").unwrap().to_owned();
    // A key's first use is counted as its organization's, and no longer as its address's.
    assert_eq!(remaining(&app.get("/api/v2/tools", Some(&key)).await), "9999");
    let strange = app.get("/api/v2/tools", None).await;
    assert_eq!((strange.status, remaining(&strange)), (401, "7".to_owned()), "registering, signing in, and this one");
    let strange = app.get("/api/v2/tools", Some(&made_up(7))).await;
    assert_eq!((strange.status, remaining(&strange)), (401, "6".to_owned()));
    // A request that fails further on is counted once, too.
    assert_eq!(remaining(&app.get("/api/v2/scans?limit=0", Some(&key)).await), "9998");
}

#[tokio::test]
async fn without_redis_the_gateway_counts_by_itself() {
    let healthy = limited().await;
    let member = healthy.member("ada@example.com").await;
    let app = healthy.beside(dead_redis(), |settings| settings.rate_limits = true);
    let mut allowed = 0;
    for _ in 0..8 {
        allowed += u32::from(app.get("/api/v1/tools", Some(&member.token)).await.status == 200);
    }
    assert!((5..=6).contains(&allowed), "{allowed}");
}

/// A key of the right form that nobody has.
fn made_up(number: u8) -> String {
    let alphabet = b"0123456789abcdefghjkmnpqrstvwxyz";
    let secret = format!("{}{}", "0".repeat(31), char::from(alphabet[usize::from(number)]));
    let sum = crc32fast::hash(secret.as_bytes());
    let digit = |place: u32| char::from(alphabet[usize::try_from((sum >> (place * 5)) & 31).unwrap()]);
    format!("pk_{secret}{}", (0..7).rev().map(digit).collect::<String>())
}

#[tokio::test]
async fn keys_that_are_made_up_cost_the_database_nothing_beyond_the_limit() {
    let app = TestApp::without_database_with(dead_redis(), |settings| {
        settings.rate_limits = true;
        settings.public_burst = 3;
    })
    .await;
    // Whoever gets as far as the database finds it down.
    for number in 0..3 {
        app.get("/api/v1/tools", Some(&made_up(number))).await.assert_problem(503, "unavailable");
    }
    for number in 3..8 {
        app.get("/api/v1/tools", Some(&made_up(number))).await.assert_problem(429, "rate_limited");
    }
}

#[tokio::test]
async fn a_key_that_was_good_before_is_not_held_up_by_strangers_at_its_address() {
    let app = TestApp::spawn_with(|settings| {
        settings.rate_limits = true;
        // Registering and signing in; the key's first use is given back once it is known to be good.
        settings.public_burst = 3;
        settings.public_per_minute = 1;
        settings.registration_plan = Subscription::Enterprise;
    })
    .await;
    let member = app.member("ada@example.com").await;
    let key = app.api_key(&member.token, &["tools:read"]).await;
    let first = app.get("/api/v1/tools", Some(&key)).await;
    assert_eq!((first.status, first.header("x-ratelimit-limit")), (200, Some("300")));
    app.get("/api/v1/tools", Some(&made_up(1))).await.assert_problem(401, "unauthenticated");
    app.get("/api/v1/tools", Some(&made_up(2))).await.assert_problem(429, "rate_limited");
    // As when its memory ran out: it is looked up again, and not counted as a stranger's.
    let listed = app.get("/api/v1/api-keys", Some(&member.token)).await.json();
    let id = listed["data"][0]["id"].as_str().unwrap().to_owned();
    let other = app.api_key(&member.token, &["tools:read"]).await;
    app.get("/api/v1/tools", Some(&other)).await.assert_problem(429, "rate_limited");
    assert_eq!(app.delete("/api/v1/api-keys/key_00000000000000000000000001", Some(&member.token)).await.status, 404);
    assert_eq!(app.get("/api/v1/tools", Some(&key)).await.status, 200);
    // Withdrawn, it is a stranger's: refused, and after that no longer looked up.
    assert_eq!(app.delete(&format!("/api/v1/api-keys/{id}"), Some(&member.token)).await.status, 204);
    for _ in 0..2 {
        app.get("/api/v1/tools", Some(&key)).await.assert_problem(429, "rate_limited");
    }
}

#[tokio::test]
async fn an_organization_keeps_no_more_than_its_plan_allows() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let organization: picket_domain::OrganizationId = member.organization_id.parse().unwrap();
    let limits = Subscription::Trial.limits();
    let client = app.database.connect().await;
    let fill = [
        format!(
            "INSERT INTO webhooks (id, organization_id, dialect, created_at, url, events, secret)
             SELECT gen_random_uuid(), $1, 'v1', now(), 'https://example.com/', '{{scan.failed}}', ''
             FROM generate_series(1, {})",
            limits.webhooks - 1
        ),
        format!(
            "INSERT INTO api_keys (id, organization_id, created_by, created_at, name, prefix, digest, scopes)
             SELECT gen_random_uuid(), $1, user_id, now(), 'x', 'x', sha256(number::text::bytea), '{{}}'
             FROM generate_series(1, {}) AS number, memberships WHERE organization_id = $1",
            limits.api_keys - 1
        ),
        format!(
            "INSERT INTO targets (id, organization_id, created_at, kind, value)
             SELECT gen_random_uuid(), $1, now(), 'host', 'host' || number || '.example.com'
             FROM generate_series(1, {}) AS number",
            limits.targets - 1
        ),
    ];
    for statement in fill {
        client.execute(&statement, &[&organization.uuid()]).await.unwrap();
    }
    for (path, bodies) in [
        ("/api/v1/webhooks", [json!({"url": "https://93.184.215.14/a"}), json!({"url": "https://93.184.215.14/b"})]),
        ("/api/v1/api-keys", [1, 2].map(|_| json!({"name": "ci", "scopes": ["tools:read"]}))),
        ("/api/v1/targets", ["a", "b"].map(|name| json!({"target": format!("{name}.example.org")}))),
    ] {
        let [first, second] = bodies;
        let (one, two) =
            tokio::join!(app.post(path, Some(&member.token), &first), app.post(path, Some(&member.token), &second));
        let (passed, refused) = if one.status == 201 { (one, two) } else { (two, one) };
        assert_eq!(passed.status, 201, "{path}: {}", passed.text);
        refused.assert_problem(409, "limit_reached");
    }
}
