//! A gateway of its own for each test: a real listener on a free port, over a database of its own.

use picket_blobs::{BlobSettings, Blobs};
use picket_domain::{OrganizationId, Subscription};
use picket_gateway::{AppParts, Gateway, GatewaySettings};
use picket_kit::{ChildCommand, Clock, Sealer, Shutdown};
use picket_live::{Live, LiveSettings};
use picket_outbound::{HttpClient, OutboundSettings};
use picket_store::{Db, DbSettings};
use picket_testkit::{Database, required};
use tempfile::TempDir;

/// A running gateway with what stands behind it.
pub(crate) struct Stack {
    /// What tests look into beside the API.
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) sealer: Sealer,
    pub(crate) blobs: Blobs,
    /// `http://127.0.0.1:<port>`.
    pub(crate) base: String,
    shutdown: Shutdown,
    _folder: TempDir,
    _database: Database,
}

impl Stack {
    /// A gateway that allows `example.com` and pins it to this machine.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn start_with(change: impl FnOnce(&mut GatewaySettings)) -> Self {
        let database = Database::new().await;
        let settings = DbSettings { url: database.url(), max_connections: 4, wait: std::time::Duration::from_secs(10) };
        let db = Db::new(&settings).expect("a pool");
        let folder = TempDir::new().expect("a folder");
        let blobs = Blobs::open(&BlobSettings::Folder { path: folder.path().to_owned() }).expect("a store");
        let sealer = Sealer::new(&Sealer::generate_key()).expect("a key");
        let clock = Clock::system();
        let prefix = OrganizationId::mint(clock.now()).to_string();
        let live = Live::new(&live_settings(prefix)).expect("a handle");
        let parts = AppParts {
            db: db.clone(),
            clock: clock.clone(),
            sealer: sealer.clone(),
            blobs: blobs.clone(),
            outbound: outbound(),
            live: Some(live),
            // No test of the published references sends a picture.
            picture_decoder: ChildCommand::default(),
        };
        let mut settings = gateway_settings();
        change(&mut settings);
        let gateway = Gateway::bind(parts, settings).expect("a free port");
        let base = format!("http://{}", gateway.address());
        let shutdown = Shutdown::new();
        tokio::spawn(gateway.serve(shutdown.child()));
        Self { db, clock, sealer, blobs, base, shutdown, _folder: folder, _database: database }
    }

    /// The way out as the dispatcher has it.
    pub(crate) fn http(&self) -> HttpClient {
        HttpClient::new(outbound()).expect("a client")
    }

    /// Tells loops that a test starts beside the gateway when to stop.
    pub(crate) fn shutdown(&self) -> Shutdown {
        self.shutdown.child()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.shutdown.stop();
    }
}

fn gateway_settings() -> GatewaySettings {
    GatewaySettings {
        listen: ([127, 0, 0, 1], 0).into(),
        threads: 1,
        allow_targets: vec!["example.com".to_owned()],
        pin_hosts: [("example.com".to_owned(), [127, 0, 0, 1].into())].into(),
        registration_plan: Subscription::Enterprise,
        public_per_minute: 6_000,
        public_burst: 600,
        ..GatewaySettings::default()
    }
}

/// Webhooks of the tests are on this machine.
fn outbound() -> OutboundSettings {
    OutboundSettings {
        allowed_ranges: vec!["127.0.0.0/8".parse().expect("a range")],
        allow_http: true,
        ..OutboundSettings::default()
    }
}

/// Buckets are per organization, and organizations are new in each test; those of addresses need a prefix.
fn live_settings(prefix: String) -> LiveSettings {
    LiveSettings { url: required("REDIS_URL").into(), key_prefix: prefix, timeout_ms: 2_000 }
}
