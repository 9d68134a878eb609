//! Whoever loses a right at one gateway is refused by another within a second, whether Redis lives or not: the second one
//! here has none, and hears of nothing but what it reads from the database.

use std::time::{Duration, Instant};

use picket_domain::{Subscription, UserId};
use serde_json::json;

use crate::harness::{Answer, Member, PASSWORD, TestApp, dead_redis};

/// How soon a right is gone everywhere.
const SOON: Duration = Duration::from_secs(1);
/// How long a test waits for a refusal that does not come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Two gateways of one installation, and somebody whom both know.
struct Pair {
    here: TestApp,
    there: TestApp,
    member: Member,
}

/// A gateway that counts requests, and has nobody to share the count with.
fn beside(here: &TestApp) -> TestApp {
    here.beside(dead_redis(), |settings| settings.rate_limits = true)
}

impl Pair {
    async fn new() -> Self {
        let here = TestApp::spawn_with(|settings| settings.registration_plan = Subscription::Enterprise).await;
        let there = beside(&here);
        let member = here.member("ada@example.com").await;
        Self { here, there, member }
    }

    async fn change(&self, sql: &str) {
        assert!(self.here.database.connect().await.execute(sql, &[]).await.unwrap() > 0, "{sql}");
    }

    /// Demands that the other gateway, which has just answered the request, answers otherwise soon after `change`.
    async fn refused_soon(
        &self,
        request: impl AsyncFn(&TestApp) -> Answer,
        change: impl AsyncFnOnce(&Self),
        is_refused: impl Fn(&Answer) -> bool,
    ) {
        let before = request(&self.there).await;
        assert!(!is_refused(&before) && before.status < 400, "{}", before.text);
        change(self).await;
        let changed = Instant::now();
        loop {
            // A request that begins later than that must not pass; how long its answer takes does not matter.
            let begun = changed.elapsed();
            let answer = request(&self.there).await;
            if is_refused(&answer) {
                break;
            }
            // Counted out is not refused: the caller is still known.
            assert!(answer.status < 400 || answer.status == 429, "{}", answer.text);
            assert!(begun <= SOON, "still let through after {begun:?}");
            assert!(changed.elapsed() < PATIENCE);
        }
    }

    /// The same for whoever is nobody any more.
    async fn unknown_soon(&self, token: &str, change: impl AsyncFnOnce(&Self)) {
        let request = async |app: &TestApp| app.get("/api/v1/auth/me", Some(token)).await;
        self.refused_soon(request, change, |answer| answer.status == 401).await;
    }

    /// Returns when the other gateway was told of a change of somebody's rights, which was committed after this was called.
    async fn told_of_another(&self) {
        let eve = self.here.member("eve@example.com").await;
        let user: UserId = eve.user_id.parse().unwrap();
        let change = async |pair: &Self| {
            pair.change(&format!("DELETE FROM memberships WHERE user_id = '{}'", user.uuid())).await;
        };
        self.unknown_soon(&eve.token, change).await;
    }

    async fn key(&self) -> String {
        self.here.api_key(&self.member.token, &["scans:read"]).await
    }
}

#[tokio::test]
async fn signing_out_holds_at_every_gateway_within_a_second() {
    let pair = Pair::new().await;
    let change = async |pair: &Pair| {
        let out = pair.here.send("POST", "/api/v1/auth/logout", Some(&pair.member.token)).await;
        assert_eq!(out.status, 204, "{}", out.text);
    };
    pair.unknown_soon(&pair.member.token, change).await;
}

#[tokio::test]
async fn a_revoked_session_is_refused_at_every_gateway_within_a_second() {
    let pair = Pair::new().await;
    let other = pair.here.sign_in("ada@example.com").await;
    let change = async |pair: &Pair| {
        let out = pair.here.delete("/api/v1/account/sessions/all", Some(&other)).await;
        assert_eq!(out.status, 204, "{}", out.text);
    };
    pair.unknown_soon(&pair.member.token, change).await;
    assert_eq!(pair.here.get("/api/v1/auth/me", Some(&other)).await.status, 200);
    assert_ne!(pair.there.get("/api/v1/auth/me", Some(&other)).await.status, 401);
}

#[tokio::test]
async fn a_stolen_refresh_token_ends_the_session_at_every_gateway_within_a_second() {
    let pair = Pair::new().await;
    let refresh = async |app: &TestApp, token: &str| {
        app.post("/api/v1/auth/refresh", None, &json!({"refresh_token": token})).await
    };
    let next = refresh(&pair.here, &pair.member.refresh_token).await.json();
    assert_eq!(refresh(&pair.here, next["refresh_token"].as_str().unwrap()).await.status, 200);
    let change = async |pair: &Pair| assert_eq!(refresh(&pair.here, &pair.member.refresh_token).await.status, 401);
    pair.unknown_soon(&pair.member.token, change).await;
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions_at_every_gateway_within_a_second() {
    let pair = Pair::new().await;
    let other = pair.here.sign_in("ada@example.com").await;
    let change = async |pair: &Pair| {
        let body = json!({"current_password": PASSWORD, "new_password": "a wholly different passphrase"});
        let path = "/api/v1/auth/change-password";
        let changed = pair.here.request("PUT", path, Some(&other), |request| request.json(&body)).await;
        assert!(changed.status < 300, "{}", changed.text);
    };
    pair.unknown_soon(&pair.member.token, change).await;
    // The session that changed it goes on, at both.
    for gateway in [&pair.here, &pair.there] {
        assert_eq!(gateway.get("/api/v1/auth/me", Some(&other)).await.status, 200);
    }
}

#[tokio::test]
async fn a_lesser_role_holds_at_every_gateway_within_a_second() {
    let pair = Pair::new().await;
    let request = async |app: &TestApp| app.get("/api/v1/api-keys", Some(&pair.member.token)).await;
    let change = async |pair: &Pair| pair.here.set_role(&pair.member, "viewer").await;
    pair.refused_soon(request, change, |answer| answer.status == 403).await;
}

#[tokio::test]
async fn a_lesser_plan_holds_at_every_gateway_within_a_second() {
    let pair = Pair::new().await;
    let request = async |app: &TestApp| app.get("/api/v1/auth/me", Some(&pair.member.token)).await;
    let change = async |pair: &Pair| pair.change("UPDATE organizations SET plan = 'trial'").await;
    pair.refused_soon(request, change, |answer| answer.header("x-ratelimit-limit") == Some("10")).await;
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_every_gateway_within_a_second() {
    let pair = Pair::new().await;
    let key = pair.key().await;
    let change = async |pair: &Pair| {
        let token = Some(pair.member.token.as_str());
        let keys = pair.here.get("/api/v1/api-keys", token).await.json();
        let path = format!("/api/v1/api-keys/{}", keys["data"][0]["id"].as_str().unwrap());
        assert_eq!(pair.here.delete(&path, token).await.status, 204);
    };
    pair.unknown_soon(&key, change).await;
}

#[tokio::test]
async fn a_suspended_organization_is_refused_at_every_gateway_within_a_second() {
    let mut pair = Pair::new().await;
    let key = pair.key().await;
    let suspend = "UPDATE organizations SET suspended_at = now(), suspended_reason = 'unpaid'";
    pair.unknown_soon(&pair.member.token, async |pair| pair.change(suspend).await).await;
    pair.change("UPDATE organizations SET suspended_at = NULL, suspended_reason = NULL").await;
    pair.there = beside(&pair.here);
    pair.unknown_soon(&key, async |pair| pair.change(suspend).await).await;
}

#[tokio::test]
async fn a_disabled_person_and_the_keys_of_that_person_are_refused_within_a_second() {
    let mut pair = Pair::new().await;
    let key = pair.key().await;
    let user: UserId = pair.member.user_id.parse().unwrap();
    let disable = format!("UPDATE users SET disabled_at = now() WHERE id = '{}'", user.uuid());
    pair.unknown_soon(&pair.member.token, async |pair| pair.change(&disable).await).await;
    pair.change("UPDATE users SET disabled_at = NULL").await;
    pair.there = beside(&pair.here);
    pair.unknown_soon(&key, async |pair| pair.change(&disable).await).await;
}

#[tokio::test]
async fn a_change_of_a_transaction_that_began_long_before_holds_within_a_second_of_its_end() {
    let pair = Pair::new().await;
    let mut slow = pair.here.database.connect().await;
    let began = slow.transaction().await.unwrap();
    began.batch_execute("UPDATE users SET disabled_at = now()").await.unwrap();
    pair.told_of_another().await;
    pair.unknown_soon(&pair.member.token, async |_| began.commit().await.unwrap()).await;
}

#[tokio::test]
async fn when_changes_of_rights_cannot_be_read_callers_are_looked_up_anew() {
    let pair = Pair::new().await;
    pair.told_of_another().await;
    let owner = pair.here.database.connect().await;
    owner.batch_execute("REVOKE SELECT ON rights_changes FROM picket_operator").await.unwrap();
    let disable = async |pair: &Pair| pair.change("UPDATE users SET disabled_at = now()").await;
    pair.unknown_soon(&pair.member.token, disable).await;
}
