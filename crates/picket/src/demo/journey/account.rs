//! From a stranger to a caller with an API key.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use picket_domain::{OrganizationId, Subscription};
use picket_kit::Clock;
use rand::RngCore;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::Journey;
use crate::{
    admin,
    demo::{
        answers::{NewKey, NewWebhook, Profile, Readiness, Token},
        api::Api,
        console::plain,
        failure::Failure,
        step::Step,
    },
};

/// How long the platform may take to become ready; a degraded one is tried all the same.
const READY_WAIT: Duration = Duration::from_secs(30);
const READY_PAUSE: Duration = Duration::from_millis(500);
/// What the demo's key may do, and nothing else.
const SCOPES: [&str; 6] =
    ["scans:read", "scans:write", "reports:read", "reports:write", "webhooks:read", "webhooks:write"];
const EVENTS: [&str; 6] =
    ["scan.created", "scan.started", "scan.completed", "scan.failed", "report.generated", "finding.critical"];

impl<'a> Journey<'a> {
    /// Waits until everything is up. What is still down after a while is told, and shows itself in what follows.
    pub(super) async fn wait_for_api(&self) -> Result<(), Failure> {
        self.progress.begin(Step::WaitForApi);
        let deadline = Instant::now() + READY_WAIT;
        loop {
            let answer = self.api.get::<Readiness>("/ready").await;
            let is_late = Instant::now() >= deadline;
            match answer {
                Ok(readiness) if readiness.status == "ready" => return Ok(()),
                Ok(readiness) if is_late => {
                    self.console.note(&format!("the platform is {}, going on", plain(&readiness.status)));
                    return Ok(());
                }
                Err(failure) if is_late => return Err(failure),
                Ok(_) | Err(_) => sleep(READY_PAUSE).await,
            }
        }
    }

    /// Registers, logs in and makes a key; gives the API as the key's owner sees it.
    pub(super) async fn open_account(&self) -> Result<Api<'a>, Failure> {
        self.progress.begin(Step::Register);
        // A name that nobody has: each demo is an organization of its own.
        let name = format!("{:012x}", rand::rng().next_u64() >> 16);
        let (email, password) = (format!("demo-{name}@demo.invalid"), random_password());
        let organization = format!("Demo {name}");
        let registration =
            json!({ "email": email, "password": password, "name": "Demo", "organization": organization });
        let _account: Value = self.api.post("/auth/register", &registration).await?;

        self.progress.begin(Step::LogIn);
        let login = json!({ "email": email, "password": password });
        let token: Token = self.api.post("/auth/login", &login).await?;
        let person = self.api.with(token.access_token);
        let profile: Profile = person.get("/auth/me").await?;
        if profile.email != email || profile.organization.name != organization {
            let expected = format!("{email} of {organization}");
            let found = plain(&format!("{} of {}", profile.email, profile.organization.name));
            return Err(Failure::Unexpected { expected, found });
        }
        let (role, plan) = (profile.role, profile.organization.plan);
        self.console.note(&plain(&format!("{email} is {role} of {organization:?} ({plan})")));
        self.administer(profile.organization.id).await?;

        self.progress.begin(Step::CreateKey);
        let key: NewKey = person.post("/api-keys", &json!({ "name": "demo", "scopes": SCOPES })).await?;
        self.console.note(&format!("{}… with {}", plain(&key.prefix), SCOPES.join(", ")));
        Ok(self.api.with(key.key))
    }

    /// Does what `picket admin organization set-plan` does, by the same function: the limits of a trial would slow the demo.
    async fn administer(&self, organization: OrganizationId) -> Result<(), Failure> {
        self.progress.begin(Step::Administer);
        let Some(db) = self.operator else {
            self.console.note("skipped: this API's database is not at hand, so its registration plan stays");
            return Ok(());
        };
        let set = admin::set_plan(db, &Clock::system(), organization, Subscription::Enterprise).await;
        let said = set.map_err(|error| Failure::Administration(Box::new(error)))?;
        self.console.note(&format!("admin: {said}"));
        Ok(())
    }

    /// Makes the webhook; its answer alone holds the secret.
    pub(super) async fn create_webhook(&self, api: &Api<'_>) -> Result<NewWebhook, Failure> {
        self.progress.begin(Step::CreateWebhook);
        let request = json!({ "url": self.receiver.url(), "events": EVENTS, "dialect": "v1" });
        let webhook: NewWebhook = api.post("/webhooks", &request).await?;
        self.console.note(&format!("{} to {}", plain(&webhook.id), self.receiver.url()));
        Ok(webhook)
    }
}

fn random_password() -> String {
    let mut bytes = [0_u8; 24];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
