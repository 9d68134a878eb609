//! The connection. It comes back by itself after a restart of the broker; one that does not is given up, and the next
//! caller makes a new one. Nothing may be forgotten while it is being recovered: it would come back with its
//! subscriptions and hold messages for nobody. So what is given up is closed first, however long that takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lapin::{Channel, Connection, ConnectionProperties, uri::AMQPUri};
use tokio::sync::Mutex;

use crate::{
    Consumer, Publisher, QueueError,
    topology::{self, Names, Queue},
};

/// How long anybody waits for an answer of the broker, recovery included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How long the whole topology may take: a new quorum queue is an election and a few flushes to disk.
const DECLARING: Duration = Duration::from_secs(60);
/// Between two looks at a connection that is being recovered.
const GLANCE: Duration = Duration::from_millis(50);
/// Seconds between heartbeats, unless the URL says otherwise: a broker that vanishes without a word, behind a cable that
/// was pulled, is noticed within two of them; the broker's own proposal is a minute.
const HEARTBEAT: u16 = 10;

/// How to reach the broker.
#[derive(Clone)]
pub struct BrokerSettings {
    /// An AMQP URL.
    pub url: String,
    /// What all names begin with; `picket` in production, one's own in a test.
    pub prefix: String,
    /// Who connects, for the broker's own views.
    pub name: String,
}

impl std::fmt::Debug for BrokerSettings {
    /// Without the URL: it holds a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerSettings").field("prefix", &self.prefix).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A broker; cheap to clone, all clones share one connection.
#[derive(Clone)]
pub struct Broker(Arc<Shared>);

struct Shared {
    settings: BrokerSettings,
    names: Names,
    connection: Mutex<Option<Connection>>,
    connections_made: AtomicU64,
}

impl Broker {
    /// Does not connect yet: that is done when somebody needs it, so that a role starts before its broker.
    #[must_use]
    pub fn new(settings: BrokerSettings) -> Self {
        let names = Names::new(&settings.prefix);
        Self(Arc::new(Shared { settings, names, connection: Mutex::new(None), connections_made: AtomicU64::new(0) }))
    }

    /// The names of exchanges and queues.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.0.names
    }

    /// Declares every exchange and queue.
    ///
    /// # Errors
    /// When the broker is away, or has one of them with other arguments.
    pub async fn declare(&self) -> Result<(), QueueError> {
        let channel = self.channel().await?;
        let declared = tokio::time::timeout(DECLARING, topology::declare(&channel, &self.0.names)).await;
        retire(channel);
        declared.map_err(|_| QueueError::Unreachable)?
    }

    /// Publishes events.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        Publisher::new(self.clone())
    }

    /// Takes messages of one queue, one at a time.
    #[must_use]
    pub fn consumer(&self, queue: Queue) -> Consumer {
        Consumer::new(self.clone(), self.0.names.queue(queue))
    }

    /// Whether the broker answers now.
    pub async fn is_up(&self) -> bool {
        match self.channel().await {
            Ok(channel) => within(async { Ok(channel.close(200, "bye".into()).await?) }).await.is_ok(),
            Err(_) => false,
        }
    }

    /// How many connections were made so far. A recovered one is not a new one: more than one tells of trouble.
    #[must_use]
    pub fn connections_made(&self) -> u64 {
        self.0.connections_made.load(Ordering::Relaxed)
    }

    /// A new channel on the shared connection, which is made first where there is none that works.
    pub(crate) async fn channel(&self) -> Result<Channel, QueueError> {
        let mut slot = self.0.connection.lock().await;
        if let Some(connection) = slot.as_ref() {
            match within(open(connection)).await {
                Ok(channel) => return Ok(channel),
                Err(error) => tracing::debug!(error = picket_domain::cause(&error), "connecting anew"),
            }
        }
        if let Some(lost) = slot.take() {
            bury(lost);
        }
        let (uri, properties) = (self.uri()?, self.properties());
        let connection = within(async { Ok(Connection::connect_uri(uri, properties).await?) }).await?;
        self.0.connections_made.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("picket_broker_connections_total").increment(1);
        open(slot.insert(connection)).await
    }

    fn uri(&self) -> Result<AMQPUri, QueueError> {
        // The parser's words would repeat the URL, and the password in it.
        let mut uri: AMQPUri = self.0.settings.url.parse().map_err(|_| QueueError::Url)?;
        uri.query.heartbeat = uri.query.heartbeat.or(Some(HEARTBEAT));
        Ok(uri)
    }

    fn properties(&self) -> ConnectionProperties {
        ConnectionProperties::default()
            .with_connection_name(format!("{}.{}", self.0.settings.prefix, self.0.settings.name).into())
            .enable_auto_recover()
            .configure_backoff(|backoff| {
                backoff
                    .with_max_times(30)
                    .with_min_delay(Duration::from_millis(100))
                    .with_max_delay(Duration::from_secs(1))
            })
    }
}

/// Waits for the broker's answer, but not for ever.
pub(crate) async fn within<T>(answer: impl Future<Output = Result<T, QueueError>>) -> Result<T, QueueError> {
    tokio::time::timeout(PATIENCE, answer).await.map_err(|_| QueueError::Unreachable)?
}

/// A new channel, after the recovery that may be under way.
async fn open(connection: &Connection) -> Result<Channel, QueueError> {
    while connection.status().reconnecting() || connection.status().connecting() {
        tokio::time::sleep(GLANCE).await;
    }
    Ok(connection.create_channel().await?)
}

/// Closes a connection that is given up, as soon as that is possible.
fn bury(connection: Connection) {
    in_background(async move {
        while connection.status().reconnecting() || connection.status().connecting() {
            tokio::time::sleep(GLANCE).await;
        }
        // One that is gone already took everything with it.
        let _closed = connection.close(200, "bye".into()).await;
    });
}

/// Closes a channel that nobody will use again, as soon as that is possible; the broker then gives back what was not
/// acknowledged on it.
pub(crate) fn retire(channel: Channel) {
    in_background(async move {
        while channel.status().reconnecting() {
            tokio::time::sleep(GLANCE).await;
        }
        // A channel that is gone already gave everything back.
        let _closed = channel.close(200, "bye".into()).await;
    });
}

/// Where there is no runtime any more, the process ends, and its connection with it.
pub(crate) fn in_background(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(work);
    }
}
