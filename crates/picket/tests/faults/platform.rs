//! A whole platform for an experiment: every role a process of its own, every service behind a proxy of ours, a webhook
//! that writes down what it hears, and a ledger beside the product's rows.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use picket_domain::{
    Dialect, Locale, NewScan, OrganizationId, Subscription, UserId, Webhook, WebhookEvent, WebhookId, WebhookSecret,
    WebhookUrl,
};
use picket_kit::{Clock, Sealer};
use picket_store::{
    accounts::{self, NewAccount},
    webhooks,
};
use picket_testkit::required;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::{
    checker::{self, Owed},
    leftovers::{self, Leftovers},
    process::{Role, eventually},
    proxy::Proxy,
    sink::Sink,
    stage::{LONG, Stage},
};

/// An API key whose digest is known, so that nobody has to sign in.
const KEY: &str = "pk_000000000000000000000000000000002gf54pg";
const KEY_DIGEST: &str = "39268632969f4be61306b07a9591bc97fd03a81ec24f765b6d24a26deed1c615";
/// How soon a healed platform has nothing left to do.
pub(crate) const HEALED: Duration = Duration::from_secs(90);
/// Workers of all experiments of this process.
static WORKERS: AtomicU32 = AtomicU32::new(0);

/// Every wait of the product is a fraction of what an operator gets: nobody waits for a minute here.
const QUICK: &[(&str, &str)] = &[
    ("PICKET_LOG__FILTER", "info,actix_http=off"),
    ("PICKET_STEWARD__POLL_MS", "200"),
    ("PICKET_STEWARD__RESCUE_MS", "300"),
    ("PICKET_STEWARD__CLAIM_WAIT_SECONDS", "3"),
    ("PICKET_STEWARD__TASKS_PER_HOST", "64"),
    ("PICKET_DISPATCHER__SWEEP_MS", "500"),
    ("PICKET_DISPATCHER__GRACE_MS", "2000"),
    ("PICKET_DISPATCHER__POLL_MS", "200"),
    ("PICKET_RENDERER__SWEEP_MS", "500"),
    ("PICKET_RENDERER__GRACE_MS", "2000"),
    ("PICKET_RENDERER__LEASE_SECONDS", "3"),
    ("PICKET_OUTBOUND__ALLOWED_RANGES", "[\"127.0.0.0/8\"]"),
    ("PICKET_OUTBOUND__ALLOW_HTTP", "true"),
    ("PICKET_GATEWAY__LISTEN", "127.0.0.1:0"),
    ("PICKET_GATEWAY__THREADS", "1"),
    ("PICKET_GATEWAY__RATE_LIMITS", "false"),
    ("PICKET_GATEWAY__SIMULATOR", "true"),
    ("PICKET_GATEWAY__ALLOW_TARGETS", "[\"127.0.0.0/8\"]"),
    ("PICKET_WORKER__SIMULATOR", "true"),
    ("PICKET_WORKER__POOLS", "[simulate]"),
    ("PICKET_WORKER__SLOTS", "4"),
    ("PICKET_WORKER__PREPARED_SLOTS", "0"),
    ("PICKET_WORKER__LEASE_SECONDS", "4"),
    ("PICKET_WORKER__HEARTBEAT_MS", "500"),
    ("PICKET_WORKER__SANDBOX_EXTERNAL_EGRESS", "enforced"),
    // No task of the simulator has a network: the self-test need not make one.
    ("PICKET_SLIRP", "/nonexistent"),
];

/// A platform under an experiment.
pub(crate) struct Platform {
    pub(crate) stage: Stage,
    pub(crate) postgres: Proxy,
    pub(crate) broker: Proxy,
    pub(crate) redis: Proxy,
    pub(crate) sink: Sink,
    folder: tempfile::TempDir,
    experiment: &'static str,
    redis_url: String,
    pub(crate) left: Mutex<Leftovers>,
}

impl Platform {
    /// A folder that only this platform uses.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// With nothing started yet.
    pub(crate) async fn new(experiment: &'static str) -> Self {
        Self::on(experiment, Stage::new().await, required("REDIS_URL")).await
    }

    /// On services of its own.
    pub(crate) async fn on(experiment: &'static str, stage: Stage, redis_url: String) -> Self {
        checker::begin(&stage.database).await;
        let (postgres, broker) =
            (Proxy::before(&stage.database.url()).await, Proxy::before(&stage.namespace.url).await);
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let sealing = Sealer::generate_key();
        let text = format!(
            "sealing_key = {:?}\nstate_dir = {:?}\n[database]\nurl = \"\"\n",
            sealing.expose_secret(),
            folder.path()
        );
        std::fs::write(folder.path().join("picket.toml"), text).unwrap();
        let (redis, sink) = (Proxy::before(&redis_url).await, Sink::new().await);
        let left = Mutex::default();
        let platform = Self { stage, postgres, broker, redis, sink, folder, experiment, redis_url, left };
        platform.people().await;
        platform.webhook(platform.stage.organization, &sealing).await;
        let first = platform.stage.organization;
        checker::mark(&platform.stage.database, first, &checker::word_of(first)).await;
        platform
    }

    /// Somebody with a key for the organization of the stage.
    async fn people(&self) {
        let (now, organization) = (Clock::system().now(), OrganizationId::mint(Clock::system().now()));
        let user = UserId::mint(now);
        let account = NewAccount {
            organization_id: organization,
            organization_name: "Other",
            subscription: Subscription::Enterprise,
            user_id: user,
            email: "ada@example.com",
            name: "Ada",
            password_hash: None,
            trial_ends_at: None,
            locale: Locale::En,
            email_verified_at: Some(now),
        };
        let made = self.stage.db.operate("test", async |tx| accounts::register(tx, &account, now).await);
        made.await.unwrap();
        let sql = format!(
            "INSERT INTO memberships VALUES ('{own}', '{user}', 'owner', now());
             INSERT INTO api_keys (id, organization_id, created_by, created_at, name, prefix, digest, scopes)
             VALUES ('{user}', '{own}', '{user}', now(), 'faults', 'pk_000000', '\\x{KEY_DIGEST}',
                     '{{scans:read,scans:write,reports:read,reports:write}}')",
            own = self.stage.organization.uuid(),
            user = user.uuid()
        );
        self.stage.execute(&sql).await;
    }

    /// A webhook of that organization that hears of everything, and is heard.
    async fn webhook(&self, organization_id: OrganizationId, sealing: &SecretString) {
        let now = Clock::system().now();
        let id = WebhookId::mint(now);
        let webhook = Webhook {
            id,
            organization_id,
            url: WebhookUrl::parse(&self.sink.url(id.uuid())).unwrap(),
            dialect: Dialect::V1,
            events: WebhookEvent::of_dialect(Dialect::V1),
            created_at: now,
            disabled: None,
        };
        let secret = WebhookSecret::from_bytes([7; 32]);
        let sealer = Sealer::new(sealing).unwrap();
        let sealed = sealer.seal(secret.expose(), &WebhookSecret::context(organization_id, id)).unwrap();
        let made = self.stage.db.run("test", organization_id, async |tx| webhooks::create(tx, &webhook, &sealed).await);
        made.await.unwrap();
        let listens = format!("INSERT INTO faults.listens VALUES ('{}')", id.uuid());
        self.stage.execute(&listens).await;
    }

    /// Starts a role; `faults` is its `FAILPOINTS`.
    pub(crate) fn start(&self, role: &str, faults: &str) -> Role {
        self.start_with(role, faults, &[])
    }

    /// The same with settings that win.
    pub(crate) fn start_with(&self, role: &str, faults: &str, settings: &[(&'static str, &str)]) -> Role {
        self.start_by(&[], role, faults, settings)
    }

    /// The same by a command that becomes it.
    pub(crate) fn start_by(&self, by: &[String], role: &str, faults: &str, settings: &[(&'static str, &str)]) -> Role {
        // Nobody else's, be it of a run of these tests beside this one: who finds a process of them has found a leftover.
        let place = std::process::id() % 4096 * 4096 + WORKERS.fetch_add(1, Ordering::Relaxed) % 4096;
        let uid = (1_000_000 + place * leftovers::UIDS).to_string();
        let own = [
            ("DATABASE_URL", self.postgres.url(&self.stage.database.url())),
            ("AMQP_URL", self.broker.url(&self.stage.namespace.url)),
            ("REDIS_URL", self.redis.url(&self.redis_url)),
            ("PICKET_BROKER__PREFIX", self.stage.namespace.prefix.clone()),
            ("PICKET_REDIS__KEY_PREFIX", self.stage.namespace.prefix.clone()),
            ("PICKET_WORKER__FIRST_SLOT_UID", uid),
            ("PICKET_STACK_INSTANCE", self.folder.path().display().to_string()),
            ("FAILPOINTS", faults.to_owned()),
        ];
        let quick = QUICK.iter().chain(settings).map(|(name, value)| (*name, (*value).to_owned()));
        let all: Vec<_> = own.into_iter().chain(quick).collect();
        Role::start_with(by, Some(&self.folder.path().join("picket.toml")), role, &all)
    }

    /// Every role but the gateway, once.
    pub(crate) fn sound(&self) -> Vec<Role> {
        ["steward", "worker", "dispatcher"].map(|role| self.start(role, "")).into()
    }

    /// A gateway that listens, and its address.
    pub(crate) async fn gateway(&self, faults: &str) -> (Role, String) {
        let role = self.start("gateway", faults);
        let told = async || {
            let log = role.log();
            let line = log.lines().find(|line| line.contains("the gateway listens"))?.to_owned();
            let at = line.find("127.0.0.1:")?;
            let end = line[at..].find('"').map_or(line.len(), |end| at + end);
            Some(format!("http://{}", &line[at..end]))
        };
        let (base, _) = eventually("the gateway's address", LONG, told).await;
        (role, base)
    }

    /// A request of the one with the key.
    pub(crate) async fn post(&self, base: &str, path: &str, key: Option<&str>, body: &Value) -> Option<(u16, Value)> {
        let mut request = reqwest::Client::new().post(format!("{base}{path}")).bearer_auth(KEY).json(body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.timeout(Duration::from_secs(20)).send().await.ok()?;
        let status = response.status().as_u16();
        let waits = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        assert!(status != 503 || waits.is_some_and(|seconds| seconds > 0), "{path}: a 503 without Retry-After");
        Some((status, response.json().await.unwrap_or(Value::Null)))
    }

    /// A scan through the API; `None` when it was not accepted.
    pub(crate) async fn create(&self, base: &str, key: Option<&str>, parameters: &Value) -> Option<u16> {
        let body = json!({"target": "127.0.0.1", "tool": "simulate", "parameters": parameters});
        let (status, answer) = self.post(base, "/api/v1/scans/create", key, &body).await?;
        if status == 201 {
            let id = answer["id"].as_str().unwrap().parse().unwrap();
            checker::accept(&self.stage.database, id, Owed { by_api: true, ..owed(parameters) }).await;
        }
        Some(status)
    }

    /// A scan past the API, which nobody doubts.
    pub(crate) async fn scan(&self, parameters: &Value) -> NewScan {
        let scan = self.stage.simulate(parameters).await;
        checker::accept(&self.stage.database, scan.id, owed(parameters)).await;
        scan
    }

    /// Waits for a role to die by itself; what runs below it is remembered.
    pub(crate) async fn death(&self, role: &mut Role) {
        let look = async || {
            self.remember(role);
            role.exit_code()
        };
        eventually("the death of a role", LONG, look).await;
    }

    /// Kills a role; what runs below it is remembered.
    pub(crate) fn kill(&self, role: &mut Role) {
        self.remember(role);
        role.kill();
    }

    /// Somebody is about to end; the verdict looks for what is left of it.
    pub(crate) fn remember(&self, role: &Role) {
        self.left.lock().unwrap().remember(role);
    }

    /// Something was done of which the audit log must know.
    pub(crate) async fn audited(&self, action: &str, object: &str) {
        checker::audited(&self.stage.database, action, object).await;
    }

    /// The organization of the stage may have less from now on.
    pub(crate) async fn subscribe(&self, plan: Subscription) {
        let client = self.stage.database.connect().await;
        let sql = "UPDATE organizations SET plan = $1 WHERE id = $2";
        client.execute(sql, &[&plan.name(), &self.stage.organization.uuid()]).await.unwrap();
    }

    /// What the dead had claimed comes back by itself after half a minute or more; nobody waits for that here.
    async fn hurry(&self) {
        let sql = "UPDATE events SET claimed_until = now() WHERE claimed_until > now() AND published_at IS NULL;
                   UPDATE deliveries SET lease_until = now() - interval '1 second' WHERE state = 'sending';
                   UPDATE deliveries SET next_attempt_at = now() WHERE state = 'pending'";
        // The database may be away in this very moment.
        if let Ok(client) = self.stage.database.try_connect().await {
            let _hurried = client.batch_execute(sql).await;
        }
    }

    /// Waits until nothing is left to do; when something stays, the checker says what.
    pub(crate) async fn drain(&self, bound: Duration) {
        let sql = "SELECT (SELECT count(*) FROM scans WHERE ended_at IS NULL)
                        + (SELECT count(*) FROM reports WHERE ended_at IS NULL)
                        + (SELECT count(*) FROM events WHERE published_at IS NULL OR public AND fanned_out_at IS NULL)
                        + (SELECT count(*) FROM deliveries WHERE ended_at IS NULL)";
        let began = std::time::Instant::now();
        let mut hurried = began;
        while began.elapsed() < bound {
            if let Ok(client) = self.stage.database.try_connect().await
                && let Ok(row) = client.query_one(sql, &[]).await
                && row.get::<_, i64>(0) == 0
            {
                return;
            }
            if hurried.elapsed() > Duration::from_secs(2) {
                self.hurry().await;
                hurried = std::time::Instant::now();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the platform is drained and demands every invariant.
    pub(crate) async fn verdict(&self) {
        self.drain(HEALED).await;
        self.leftovers().await;
        let client = checker::freeze(&self.stage.database).await;
        self.sink.tell(&client).await;
        checker::demand(&client, self.experiment).await;
    }

    /// The same for a platform without one of its safeguards: which invariants break.
    pub(crate) async fn broken(&self, bound: Duration) -> Vec<&'static str> {
        self.drain(bound).await;
        let client = checker::freeze(&self.stage.database).await;
        self.sink.tell(&client).await;
        let found = checker::ask(&client).await;
        found.iter().for_each(|violation| println!("{}: I{violation}", self.experiment));
        found.iter().map(|violation| violation.invariant).collect()
    }

    /// Tells the checker of what outlived its worker.
    async fn leftovers(&self) {
        let left = std::mem::take(&mut *self.left.lock().unwrap());
        let began = std::time::Instant::now();
        while !left.find().is_empty() && began.elapsed() < leftovers::GONE {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let client = self.stage.database.connect().await;
        for what in left.find() {
            client.execute("INSERT INTO faults.leftovers VALUES ($1)", &[&what]).await.unwrap();
        }
    }
}

/// What a scan with these parameters owes.
fn owed(parameters: &Value) -> Owed {
    let ends_badly = ["hang", "fail", "crash"].iter().any(|name| parameters.get(name).is_some());
    let findings = (!ends_badly).then(|| parameters["findings"].as_i64().unwrap_or(0));
    Owed { findings, gap: ends_badly, by_api: false }
}
