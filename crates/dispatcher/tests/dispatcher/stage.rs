//! An organization with webhooks and events, and dispatchers to serve it.

use std::time::Duration;

use jiff::Timestamp;
use picket_dispatcher::{DispatcherSettings, Mailer, Parts};
use picket_domain::{
    Authority, Basis, Dialect, EventId, NewScan, OrganizationId, Plan, ScanId, Webhook, WebhookEvent, WebhookId,
    WebhookSecret, WebhookUrl,
};
use picket_kit::{Clock, Health, Sealer, Shutdown};
use picket_outbound::{HttpClient, OutboundSettings};
use picket_queue::{Broker, BrokerSettings, Envelope, Message};
use picket_store::{
    Db, DbSettings, StoreError,
    deliveries::read::{self, DeliveryRecord},
    events,
    scans::{self, read::Range},
    webhooks,
};
use picket_testkit::{Database, Namespace};
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use uuid::Uuid;

/// Where links in letters lead.
pub(crate) const ORIGIN: &str = "https://api.example";
/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Stage {
    pub(crate) db: Db,
    /// The owner of the database: sees and changes everything, time included.
    pub(crate) admin: Client,
    pub(crate) organization: OrganizationId,
    pub(crate) broker: Broker,
    pub(crate) sealer: Sealer,
    _database: Database,
}

/// A dispatcher that stops with the test.
pub(crate) struct Dispatcher {
    pub(crate) shutdown: Shutdown,
    running: JoinHandle<()>,
}

pub(crate) fn now() -> Timestamp {
    Clock::system().now()
}

/// Looks again and again until `look` finds something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let database = Database::new().await;
        let settings = DbSettings { url: database.url(), max_connections: 16, wait: Duration::from_secs(5) };
        let namespace = Namespace::new();
        let broker =
            Broker::new(BrokerSettings { url: namespace.url, prefix: namespace.prefix, name: "dispatcher".to_owned() });
        let admin = database.connect().await;
        let organization = organization(&admin).await;
        let (db, sealer) = (Db::new(&settings).unwrap(), Sealer::new(&Sealer::generate_key()).unwrap());
        Self { db, admin, organization, broker, sealer, _database: database }
    }

    /// A webhook that hears of everything its dialect has.
    pub(crate) async fn webhook(&self, url: &str, dialect: Dialect) -> (WebhookId, WebhookSecret) {
        self.webhook_of(self.organization, url, dialect).await
    }

    pub(crate) async fn webhook_of(
        &self,
        organization_id: OrganizationId,
        url: &str,
        dialect: Dialect,
    ) -> (WebhookId, WebhookSecret) {
        let webhook = Webhook {
            id: WebhookId::mint(now()),
            organization_id,
            url: WebhookUrl::parse(url).unwrap(),
            dialect,
            events: WebhookEvent::of_dialect(dialect),
            created_at: now(),
            disabled: None,
        };
        let secret = WebhookSecret::from_bytes(rand::random());
        let sealed = self.sealer.seal(secret.expose(), &WebhookSecret::context(organization_id, webhook.id)).unwrap();
        let created = self.db.run("create", organization_id, async |tx| webhooks::create(tx, &webhook, &sealed).await);
        created.await.unwrap();
        (webhook.id, secret)
    }

    /// A scan that nobody could do, so that it is created and fails at once: two numbered events, oldest first.
    pub(crate) async fn scan(&self) -> [EventId; 2] {
        self.scan_of(self.organization).await
    }

    pub(crate) async fn scan_of(&self, organization_id: OrganizationId) -> [EventId; 2] {
        let new = NewScan {
            id: ScanId::mint(now()),
            organization_id,
            dialect: Dialect::V1,
            plan: Plan::Custom,
            target: "example.com".to_owned(),
            tool: Some("nmap"),
            request: serde_json::json!({}),
            notify: Vec::new(),
            gaps: Vec::new(),
            tasks: Vec::new(),
            later: Vec::new(),
            authority: Authority::of(Basis::Operator),
            limits: picket_domain::ScanLimits::default(),
            probes: 1_000,
            requested_by: "test".to_owned(),
            traceparent: None,
        };
        let created = self.db.run("scan", organization_id, async |tx| scans::create(tx, &new, now()).await);
        created.await.unwrap();
        self.db.operate("number", async |tx| events::number(tx).await).await.unwrap();
        let rows = self
            .admin
            .query("SELECT id FROM events WHERE scan_id = $1 ORDER BY position", &[&new.id.uuid()])
            .await
            .unwrap();
        [0, 1].map(|index| EventId::from_uuid(rows[index].get(0)))
    }

    /// Publishes the messages of all events that were not, as the relay does, so many times each.
    pub(crate) async fn relay(&self, times: usize) {
        self.broker.declare().await.unwrap();
        let claimed = self.db.operate("claim", async |tx| events::claim(tx, 100).await).await.unwrap();
        let publisher = self.broker.publisher();
        for outgoing in &claimed {
            let (id, body) = (outgoing.event.id.to_string(), Envelope::of(&outgoing.event).encode().unwrap());
            let message = Message { routing_key: &outgoing.routing_key, id: &id, body: &body };
            for result in publisher.publish(&vec![message; times]).await {
                result.unwrap();
            }
        }
        let sent: Vec<_> = claimed.iter().collect();
        self.db.operate("mark", async |tx| events::mark_published(tx, &sent).await).await.unwrap();
    }

    /// Starts a dispatcher that may call the loopback interface and never waits long.
    pub(crate) fn dispatcher(&self, settings: DispatcherSettings) -> Dispatcher {
        let outbound = OutboundSettings {
            allowed_ranges: vec!["127.0.0.0/8".parse().unwrap()],
            allow_http: true,
            ..OutboundSettings::default()
        };
        let parts = Parts {
            db: self.db.clone(),
            broker: self.broker.clone(),
            http: HttpClient::new(outbound).unwrap(),
            mailer: settings.smtp.as_ref().map(|smtp| Mailer::new(smtp).unwrap()),
            sealer: self.sealer.clone(),
            clock: Clock::system(),
            health: Health::starting(),
            origin: ORIGIN.to_owned(),
        };
        let shutdown = Shutdown::new();
        let running = tokio::spawn(picket_dispatcher::run(settings, parts, shutdown.clone()));
        Dispatcher { shutdown, running }
    }

    pub(crate) async fn deliveries(&self, webhook: WebhookId) -> Vec<DeliveryRecord> {
        let range = Range { limit: 1_000, offset: 0 };
        let page = self.db.run("list", self.organization, async |tx| read::list(tx, webhook, range).await);
        page.await.unwrap().rows
    }

    /// All deliveries of a webhook, once they are `count` and every one is in a state that `fits`.
    pub(crate) async fn settled(&self, webhook: WebhookId, count: usize, state: &str) -> Vec<DeliveryRecord> {
        eventually(&format!("{count} deliveries that are {state}"), async || {
            let found = self.deliveries(webhook).await;
            (found.len() == count && found.iter().all(|one| one.state.name() == state)).then_some(found)
        })
        .await
    }

    /// The webhook's one delivery, once `failures` attempts failed and it waits for the next.
    pub(crate) async fn waiting(&self, webhook: WebhookId, failures: usize) -> DeliveryRecord {
        eventually("a failure", async || {
            let found = self.deliveries(webhook).await.into_iter().next()?;
            (found.state.name() == "pending" && found.attempts.len() == failures).then_some(found)
        })
        .await
    }

    /// Makes every waiting delivery due now.
    pub(crate) async fn hurry(&self) {
        let due = "UPDATE deliveries SET next_attempt_at = now() WHERE state = 'pending'";
        self.admin.execute(due, &[]).await.unwrap();
    }

    pub(crate) async fn delete(&self, organization: OrganizationId, webhook: WebhookId) -> Result<bool, StoreError> {
        self.db.run("delete", organization, async |tx| webhooks::delete(tx, webhook, now()).await).await
    }
}

pub(crate) async fn organization(admin: &Client) -> OrganizationId {
    let id = OrganizationId::mint(now());
    let uuid: Uuid = id.uuid();
    let insert = "INSERT INTO organizations (id, created_at, name, plan) VALUES ($1, now(), 'test', 'trial')";
    admin.execute(insert, &[&uuid]).await.unwrap();
    admin.execute("INSERT INTO organization_counters (organization_id) VALUES ($1)", &[&uuid]).await.unwrap();
    id
}

impl Dispatcher {
    pub(crate) async fn stop(self) {
        self.shutdown.stop();
        self.running.await.unwrap();
    }

    /// As `kill -9` does: no drain, no goodbye.
    pub(crate) async fn kill(self) {
        self.running.abort();
        let _aborted = self.running.await;
    }
}

/// Settings under which tests need not wait.
pub(crate) fn quick() -> DispatcherSettings {
    DispatcherSettings { poll_ms: 20, sweep_ms: 50, grace_ms: 0, ..DispatcherSettings::default() }
}

/// The same without the sweep's help for events: only messages make deliveries.
pub(crate) fn by_message_alone() -> DispatcherSettings {
    DispatcherSettings { grace_ms: 3_600_000, ..quick() }
}
