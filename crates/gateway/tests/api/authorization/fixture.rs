//! One resource of each kind, of one organization.

use picket_domain::Subscription;
use picket_gateway::GatewaySettings;
use picket_kit::Clock;
use serde_json::json;

use crate::{
    harness::{Member, TestApp},
    scans::allow_example,
};

pub(crate) const OWNER: &str = "owner@example.com";

/// What the organization has.
pub(crate) struct Fixture {
    pub(crate) owner: Member,
    api_key: String,
    profile: String,
    scan: String,
    report: String,
    schedule: String,
    session: String,
    target: String,
    exclusion: String,
    webhook: String,
    member: String,
    invitation: String,
}

impl Fixture {
    /// A gateway that can have these resources.
    pub(crate) async fn app() -> TestApp {
        let change = |settings: &mut GatewaySettings| {
            allow_example(settings);
            // The tests make a key for each route.
            settings.registration_plan = Subscription::Enterprise;
        };
        TestApp::spawn_at(Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap()), change).await
    }

    pub(crate) async fn new(app: &TestApp) -> Self {
        let owner = app.member(OWNER).await;
        app.verify(OWNER).await;
        app.api_key(&owner.token, &["tools:read"]).await;
        let keys = app.get("/api/v1/api-keys", Some(&owner.token)).await.json();
        let made = async |path: &str, body: serde_json::Value| {
            let answer = app.post(path, Some(&owner.token), &body).await;
            let id = answer.json()["id"].as_str().map(ToOwned::to_owned);
            id.unwrap_or_else(|| panic!("{path}: {}", answer.text))
        };
        let scan = made("/api/v1/scans/create", json!({"target": "example.com", "tool": "nmap"})).await;
        let profile = made("/api/v1/scan-profiles", json!({"name": "fixture", "scan_type": "quick"})).await;
        let report = made("/api/v1/reports/generate", json!({"scan_ids": [scan]})).await;
        let scheduled = json!({"name": "x", "kind": "report", "cron": "0 0 * * *", "report": {}});
        let schedule = made("/api/v1/schedules", scheduled).await;
        let webhook = made("/api/v1/webhooks", json!({"url": "https://93.184.215.14/hook"})).await;
        let target = made("/api/v1/targets", json!({"target": "kept.example.com"})).await;
        let exclusion = made("/api/v1/exclusions", json!({"value": "never.example.com"})).await;
        let pictured = app.put_picture(&owner.token, "image/png", crate::avatars::png(8, 8)).await;
        assert_eq!(pictured.status, 200, "{}", pictured.text);
        let sessions = app.get("/api/v1/account/sessions", Some(&owner.token)).await.json();
        let session = sessions["data"][0]["id"].as_str().unwrap().to_owned();
        let invitation = json!({"email": "invited@example.com", "role": "viewer"});
        let invitation = made("/api/v1/settings/team/invite", invitation).await;
        let colleague = app.member("colleague@example.com").await;
        app.join(&colleague, &owner.organization_id, "viewer").await;
        let api_key = keys["data"][0]["id"].as_str().unwrap().to_owned();
        let member = colleague.user_id;
        Self {
            api_key,
            profile,
            scan,
            report,
            schedule,
            session,
            target,
            exclusion,
            webhook,
            member,
            invitation,
            owner,
        }
    }

    /// Every id of this organization that others must not see.
    pub(crate) fn ids(&self) -> [&str; 12] {
        let owner = self.owner.user_id.as_str();
        let Self {
            api_key,
            profile,
            scan,
            report,
            schedule,
            session,
            target,
            exclusion,
            webhook,
            member,
            invitation,
            ..
        } = self;
        [api_key, profile, scan, report, schedule, session, target, exclusion, webhook, member, invitation, owner]
    }

    /// The path with an id of this organization in place of its parameter.
    pub(crate) fn own(&self, path: &str) -> String {
        fill(path, self.id(path))
    }

    /// The path with an id that nobody has.
    pub(crate) fn nobodys(&self, path: &str) -> String {
        fill(path, self.unknown(path))
    }

    /// What stands for the parameter of a path.
    fn id(&self, path: &str) -> &str {
        match kind(path) {
            "api-keys" => &self.api_key,
            "artifacts" => "art_00000000000000000000000001",
            "invitations" => &self.invitation,
            "team" => &self.member,
            "scan" => &self.scan,
            "schedules" => &self.schedule,
            "scan-profiles" => &self.profile,
            "sessions" => &self.session,
            "targets" => &self.target,
            "exclusions" => &self.exclusion,
            "webhooks" => &self.webhook,
            "oauth" | "identities" => "github",
            // Of the platform, and nobody's.
            "queues" => "net",
            "workers" => "wrk_00000000000000000000000001",
            "tools" => "nmap",
            "reports" if !is_v2(path) => &self.report,
            // The first of each kind, by number.
            "scans" | "reports" => "1",
            "" => "",
            other => panic!("no resource for {other}: add one to the fixture"),
        }
    }

    /// An id of that kind that nobody has.
    fn unknown(&self, path: &str) -> &'static str {
        match kind(path) {
            "api-keys" => "key_00000000000000000000000001",
            "invitations" => "inv_00000000000000000000000001",
            "team" => "usr_00000000000000000000000001",
            "scan-profiles" => "prof_00000000000000000000000001",
            "scan" => "scan_00000000000000000000000001",
            "schedules" => "sch_00000000000000000000000001",
            "sessions" => "ses_00000000000000000000000001",
            "targets" => "tgt_00000000000000000000000001",
            "exclusions" => "exc_00000000000000000000000001",
            "identities" => "nowhere",
            "tools" => "no-such-tool",
            "webhooks" => "whk_00000000000000000000000001",
            "reports" if !is_v2(path) => "rep_00000000000000000000000001",
            "scans" | "reports" => "999999",
            other => panic!("no id for {other}: add one to the fixture"),
        }
    }
}

fn is_v2(path: &str) -> bool {
    path.starts_with("/api/v2/")
}

/// The segment before the first parameter; empty for a path without one.
fn kind(path: &str) -> &str {
    let Some((before, _)) = path.split_once("/{") else { return "" };
    before.rsplit('/').next().unwrap_or_default()
}

/// The path with `value` in place of its first parameter.
fn fill(path: &str, value: &str) -> String {
    match (path.find('{'), path.find('}')) {
        (Some(begin), Some(end)) => format!("{}{value}{}", &path[..begin], &path[end + 1..]),
        _ => path.to_owned(),
    }
}
