//! The settings of all roles in one file; each role takes its part. `docs/settings.md` lists them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use picket_blobs::BlobSettings;
use picket_dispatcher::DispatcherSettings;
use picket_gateway::GatewaySettings;
use picket_kit::LogFormat;
use picket_live::LiveSettings;
use picket_netd::NetdSettings;
use picket_outbound::OutboundSettings;
use picket_renderer::RendererSettings;
use picket_steward::StewardSettings;
use picket_store::{DbTls, DbTlsError};
use picket_worker::WorkerSettings;
use secrecy::SecretString;
use serde::Deserialize;

/// Variables that stacks and platforms give by these names, and the setting that each one fills.
pub(crate) const WELL_KNOWN: &[(&str, &str)] = &[
    ("DATABASE_URL", "database.url"),
    ("AMQP_URL", "broker.url"),
    ("REDIS_URL", "redis.url"),
    ("PICKET_BWRAP", "worker.bwrap"),
    ("PICKET_SLIRP", "worker.slirp"),
    ("PICKET_TOOLS_ROOT", "worker.tools_root"),
    ("PICKET_FONTS_DIR", "renderer.fonts_dir"),
    ("PICKET_STACK_INSTANCE", "state_dir"),
];

/// Everything that an operator may set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Postgres.
    pub database: DatabaseSection,
    /// RabbitMQ; every role but the gateway needs it.
    #[serde(default)]
    pub broker: Option<BrokerSection>,
    /// Redis; the gateway counts for itself without it.
    #[serde(default)]
    pub redis: Option<LiveSettings>,
    /// The platform's key: 32 bytes in base64. `picket up` makes one where it is missing.
    #[serde(default)]
    pub sealing_key: Option<SecretString>,
    /// Keys that were the platform's before. They open what they sealed, until `picket admin rotate-key` has sealed it anew.
    #[serde(default)]
    pub previous_sealing_keys: Vec<SecretString>,
    /// Where documents are kept; a folder of the state folder where it is missing.
    #[serde(default)]
    pub blobs: Option<BlobSettings>,
    /// A folder for what `picket up` makes by itself.
    #[serde(default = "default_state_dir")]
    pub state_dir: PathBuf,
    /// Logs.
    #[serde(default)]
    pub log: LogSection,
    /// Metrics and health, for operators.
    #[serde(default)]
    pub internal: InternalSection,
    /// Calls to the outside.
    #[serde(default)]
    pub outbound: OutboundSettings,
    /// The gateway.
    #[serde(default)]
    pub gateway: GatewaySettings,
    /// The steward.
    #[serde(default)]
    pub steward: StewardSettings,
    /// The worker.
    #[serde(default)]
    pub worker: WorkerSettings,
    /// The network helper, which reads this section and `log` alone.
    #[serde(default)]
    pub netd: NetdSettings,
    /// The dispatcher.
    #[serde(default)]
    pub dispatcher: DispatcherSettings,
    /// The renderer.
    #[serde(default)]
    pub renderer: RendererSettings,
}

/// How to reach Postgres.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSection {
    /// A connection URL.
    pub url: SecretString,
    /// Connections of this process.
    #[serde(default = "default_connections")]
    pub max_connections: usize,
    /// Demands TLS of Postgres; plain connections where it is missing.
    #[serde(default)]
    pub tls: Option<DatabaseTlsSection>,
}

/// TLS to Postgres.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseTlsSection {
    /// Certificates of the authorities that may sign the server's, PEM.
    pub ca: PathBuf,
}

impl DatabaseSection {
    /// How its connections are secured.
    ///
    /// # Errors
    /// When the authorities cannot be read.
    pub(crate) fn secured(&self) -> Result<DbTls, DbTlsError> {
        self.tls.as_ref().map_or_else(DbTls::off, |tls| DbTls::require(&tls.ca))
    }
}

/// How to reach RabbitMQ.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerSection {
    /// An AMQP URL, or one for each node of a cluster, separated by commas.
    pub url: SecretString,
    /// What the names of all queues begin with.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// Other URLs for single roles, so that each has a user of its own where one process runs several of them.
    #[serde(default)]
    pub roles: BrokerRoles,
}

/// The broker as single roles reach it; a role that is not named here uses `url`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrokerRoles {
    /// Declares the queues and publishes.
    pub steward: Option<SecretString>,
    /// Takes tasks.
    pub worker: Option<SecretString>,
    /// Takes public events.
    pub dispatcher: Option<SecretString>,
    /// Takes reports.
    pub renderer: Option<SecretString>,
}

impl BrokerSection {
    /// The URL, or URLs, of a role.
    pub(crate) fn url_of(&self, role: &str) -> &SecretString {
        let own = match role {
            "steward" => &self.roles.steward,
            "worker" => &self.roles.worker,
            "dispatcher" => &self.roles.dispatcher,
            "renderer" => &self.roles.renderer,
            _ => &None,
        };
        own.as_ref().unwrap_or(&self.url)
    }
}

/// How logs are written.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// JSON for machines, or text for people.
    pub format: LogFormat,
    /// What is written, in the syntax of `RUST_LOG`. `actix_http` calls it an error when a client sends nonsense.
    pub filter: String,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { format: LogFormat::Json, filter: "info,actix_http=off".to_owned() }
    }
}

/// The internal port.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InternalSection {
    /// Where it listens; never expose it.
    pub listen: SocketAddr,
}

impl Default for InternalSection {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)) }
    }
}

const fn default_connections() -> usize {
    16
}

fn default_prefix() -> String {
    "picket".to_owned()
}

fn default_state_dir() -> PathBuf {
    PathBuf::from(".run")
}
