//! A platform to measure: a database of its own and the real gateway, in this process, on a port of its own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hyper::StatusCode;
use picket_blobs::{BlobSettings, Blobs};
use picket_domain::Subscription;
use picket_gateway::{AppParts, Gateway, GatewaySettings};
use picket_kit::{ChildCommand, Clock, Sealer, Shutdown};
use picket_live::{Live, LiveSettings};
use picket_outbound::OutboundSettings;
use picket_store::{Db, DbSettings};
use picket_testkit::Database;
use serde_json::json;

use crate::{Failure, http::Client};

/// Connections to Postgres: as many as clients, so that nobody waits for one.
pub(crate) const CONNECTIONS: usize = 32;

/// A running platform; it stops with the bench.
pub(crate) struct Platform {
    pub(crate) database: Arc<Database>,
    pub(crate) db: Db,
    pub(crate) blobs: Blobs,
    pub(crate) clock: Clock,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: Shutdown,
    _folder: tempfile::TempDir,
}

impl Platform {
    /// A gateway that counts no requests.
    pub(crate) async fn start() -> Result<Self, Failure> {
        Self::start_with(None).await
    }

    /// A gateway that counts every request in Redis, and knows clients by what its proxy says.
    pub(crate) async fn start_limited() -> Result<Self, Failure> {
        let key_prefix = picket_testkit::Namespace::new().prefix;
        let url = picket_testkit::required("REDIS_URL").into();
        Self::start_with(Some(Live::new(&LiveSettings { url, key_prefix, timeout_ms: 2_000 })?)).await
    }

    async fn start_with(live: Option<Live>) -> Result<Self, Failure> {
        let database = Arc::new(Database::new().await);
        let settings = DbSettings { url: database.url(), max_connections: CONNECTIONS, wait: Duration::from_secs(30) };
        let (db, clock, folder) = (Db::new(&settings)?, Clock::system(), tempfile::tempdir()?);
        let blobs = Blobs::open(&BlobSettings::Folder { path: folder.path().to_owned() })?;
        let parts = AppParts {
            db: Db::new(&settings)?,
            clock: clock.clone(),
            sealer: Sealer::new(&Sealer::generate_key())?,
            blobs: blobs.clone(),
            outbound: OutboundSettings::default(),
            live: live.clone(),
            picture_decoder: ChildCommand::default(),
        };
        let settings = GatewaySettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            rate_limits: live.is_some(),
            public_per_minute: 1_000_000,
            public_burst: 1_000_000,
            trusted_proxies: vec!["127.0.0.0/8".parse()?],
            allow_targets: vec!["127.0.0.0/8".to_owned()],
            simulator: true,
            registration_plan: Subscription::Enterprise,
            ..GatewaySettings::default()
        };
        let (gateway, shutdown) = (Gateway::bind(parts, settings)?, Shutdown::new());
        let address = gateway.address();
        tokio::spawn(gateway.serve(shutdown.clone()));
        Ok(Self { database, db, blobs, clock, address, shutdown, _folder: folder })
    }

    /// The API key of a new organization.
    pub(crate) async fn organization(&self, number: usize) -> Result<String, Failure> {
        let mut anybody = Client::connect(self.address, None).await?;
        let email = format!("bench-{number}@example.com");
        let person = json!({"email": email, "password": "correct horse battery staple", "name": "Ada"});
        anybody.post("/api/v1/auth/register", person.to_string().into(), StatusCode::CREATED).await?;
        let login = json!({"email": email, "password": "correct horse battery staple"});
        let token = anybody.post_for("/api/v1/auth/login", &login, StatusCode::OK, "access_token").await?;
        let mut member = Client::connect(self.address, Some(token)).await?;
        let key = json!({"name": "bench", "scopes": ["scans:write"]});
        member.post_for("/api/v1/api-keys", &key, StatusCode::CREATED, "key").await
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.shutdown.stop();
    }
}
