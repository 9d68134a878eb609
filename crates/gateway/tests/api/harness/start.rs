//! Starting gateways: one, others of the same platform, and such that lack something.

use std::{sync::Arc, time::Duration};

use picket_blobs::{BlobSettings, Blobs};
use picket_gateway::{AppParts, Gateway, GatewaySettings, generate_signing_key};
use picket_kit::{ChildCommand, Clock, Sealer, Shutdown};
use picket_live::{Live, LiveSettings};
use picket_outbound::OutboundSettings;
use picket_store::{Db, DbSettings};
use picket_testkit::{Database, Namespace, required};
use secrecy::SecretString;

use super::{TestApp, nobody};

/// What gateways of one platform have in common.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) sealing: SecretString,
    pub(crate) signing: SecretString,
}

/// What a gateway is made of, so that others can be made of the same.
#[derive(Clone)]
pub(super) struct Parts {
    database: Arc<Database>,
    url: String,
    clock: Clock,
    keys: Keys,
    pub(super) live: Live,
    outbound: OutboundSettings,
    settings: GatewaySettings,
    folder: Arc<tempfile::TempDir>,
    decoder: ChildCommand,
}

impl Parts {
    /// Of a new platform.
    async fn new(clock: Clock, live: Live, change: impl FnOnce(&mut GatewaySettings)) -> Self {
        let database = Arc::new(Database::new().await);
        let keys = Keys { sealing: Sealer::generate_key(), signing: generate_signing_key() };
        let mut settings = GatewaySettings {
            listen: "127.0.0.1:0".parse().unwrap(),
            threads: 1,
            rate_limits: false,
            signing_key: Some(keys.signing.clone()),
            ..GatewaySettings::default()
        };
        change(&mut settings);
        let (url, folder) = (database.url(), Arc::new(tempfile::tempdir().unwrap()));
        Self {
            database,
            url,
            clock,
            keys,
            live,
            outbound: OutboundSettings::default(),
            settings,
            folder,
            decoder: decoder(),
        }
    }
}

/// The program that decodes pictures.
fn decoder() -> ChildCommand {
    ChildCommand { program: env!("CARGO_BIN_EXE_picket-decode-picture").into(), args: Vec::new() }
}

/// The Redis of the stack, under a prefix of its own.
fn own_redis() -> Live {
    let key_prefix = Namespace::new().prefix;
    Live::new(&LiveSettings { url: required("REDIS_URL").into(), key_prefix, timeout_ms: 2_000 }).unwrap()
}

impl TestApp {
    /// A gateway that counts no requests.
    pub(crate) async fn spawn() -> Self {
        Self::spawn_with(|_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn spawn_with(change: impl FnOnce(&mut GatewaySettings)) -> Self {
        Self::spawn_at(Clock::system(), change).await
    }

    /// The same by another clock.
    pub(crate) async fn spawn_at(clock: Clock, change: impl FnOnce(&mut GatewaySettings)) -> Self {
        Self::start(clock, own_redis(), change).await
    }

    /// The same, which may call what `outbound` allows.
    pub(crate) async fn spawn_calling(
        clock: Clock,
        outbound: OutboundSettings,
        change: impl FnOnce(&mut GatewaySettings),
    ) -> Self {
        Self::serve(Parts { outbound, ..Parts::new(clock, own_redis(), change).await })
    }

    /// The same with another program that decodes pictures.
    pub(crate) async fn spawn_decoding_by(program: &str, args: &[&str]) -> Self {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let decoder = ChildCommand { program: program.into(), args };
        Self::serve(Parts { decoder, ..Parts::new(Clock::system(), own_redis(), |_| {}).await })
    }

    /// The same with another Redis.
    pub(crate) async fn start(clock: Clock, live: Live, change: impl FnOnce(&mut GatewaySettings)) -> Self {
        Self::serve(Parts::new(clock, live, change).await)
    }

    /// The same with a database that does not answer.
    pub(crate) async fn without_database(live: Live) -> Self {
        Self::without_database_with(live, |_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn without_database_with(live: Live, change: impl FnOnce(&mut GatewaySettings)) -> Self {
        let url = format!("postgres://nobody@{}/nothing", nobody());
        Self::serve(Parts { url, ..Parts::new(Clock::system(), live, change).await })
    }

    /// A second gateway of the same platform: database, Redis, keys and clock are the same, its memory is its own.
    pub(crate) fn replica(&self, change: impl FnOnce(&mut GatewaySettings)) -> Self {
        self.beside(self.live(), change)
    }

    /// The same with a connection to Redis of its own.
    pub(crate) fn replica_at(&self, live: Live) -> Self {
        self.beside(live, |_| {})
    }

    /// The same with another Redis and other settings.
    pub(crate) fn beside(&self, live: Live, change: impl FnOnce(&mut GatewaySettings)) -> Self {
        let mut parts = Parts { live, url: self.database.url(), ..self.parts.clone() };
        change(&mut parts.settings);
        Self::serve(parts)
    }

    /// The Redis that all gateways of this platform share, as one more of them would use it.
    pub(crate) fn live(&self) -> Live {
        self.parts.live.clone()
    }

    fn serve(parts: Parts) -> Self {
        let db = DbSettings { url: parts.url.clone(), max_connections: 8, wait: Duration::from_secs(10) };
        let sealer = Sealer::new(&parts.keys.sealing).unwrap();
        let given = AppParts {
            db: Db::new(&db).unwrap(),
            clock: parts.clock.clone(),
            sealer: sealer.clone(),
            blobs: Blobs::open(&BlobSettings::Folder { path: parts.folder.path().to_owned() }).unwrap(),
            outbound: parts.outbound.clone(),
            live: Some(parts.live.clone()),
            picture_decoder: parts.decoder.clone(),
        };
        let shutdown = Shutdown::new();
        let gateway = Gateway::bind(given, parts.settings.clone()).unwrap();
        let base = format!("http://{}", gateway.address());
        let redirect_address = gateway.redirect_address();
        tokio::spawn(gateway.serve(shutdown.clone()));
        Self {
            base,
            database: parts.database.clone(),
            clock: parts.clock.clone(),
            keys: parts.keys.clone(),
            sealer,
            client: reqwest::Client::new(),
            redirect_address,
            folder: parts.folder.clone(),
            shutdown,
            parts,
        }
    }
}
