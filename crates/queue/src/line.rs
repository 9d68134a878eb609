//! One connection to the broker: made when it is needed, made anew when it is lost for good.
//!
//! Publishing and consuming have a line each. The driver recovers the line that publishes: its channels hold nothing but
//! the wish for confirms. It does not recover the line that consumes, for it would bring back a subscription that was
//! being given up in the moment of the fault, and such a subscription takes a message for nobody and keeps it; who
//! consumes subscribes again by itself. (`tests/broker/restart.rs` finds that message missing.) Besides, a broker that
//! is short of memory stops reading from who publishes: acknowledgements must not wait behind.
//!
//! Of a cluster, each node has an address; they are tried in turn, from the one that worked last. The driver recovers a
//! connection to its own address alone, so there it recovers nothing: the next caller goes on to the next node.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use lapin::{Channel, Connection, ConnectionProperties, uri::AMQPUri};
use tokio::sync::Mutex;

use crate::{BrokerSettings, QueueError};

/// How long anybody waits for an answer of the broker, recovery included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How long one node of several may take to open a connection: the next one may be quicker than a dead one's silence.
const KNOCK: Duration = Duration::from_secs(3);
/// Between two looks at a connection that is being recovered.
const GLANCE: Duration = Duration::from_millis(50);
/// Seconds between heartbeats, unless the URL says otherwise: a broker that vanishes without a word, behind a cable that
/// was pulled, is noticed within two of them; the broker's own proposal is a minute.
const HEARTBEAT: u16 = 10;

/// What a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Publishing: recovered by the driver, where there is one address.
    Publish,
    /// Everything else: made anew by the next caller.
    Consume,
}

/// A connection, shared by all channels of one use.
pub(crate) struct Line {
    purpose: Use,
    connection: Mutex<Option<Connection>>,
    made: AtomicU64,
    /// Which of the addresses is next.
    turn: AtomicUsize,
}

impl Line {
    pub(crate) fn new(purpose: Use) -> Self {
        Self { purpose, connection: Mutex::new(None), made: AtomicU64::new(0), turn: AtomicUsize::new(0) }
    }

    /// How many connections were made so far.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// A new channel; connects first where there is no connection that works.
    pub(crate) async fn channel(&self, settings: &BrokerSettings) -> Result<Channel, QueueError> {
        let mut slot = self.connection.lock().await;
        if let Some(connection) = slot.as_ref() {
            match within(open(connection)).await {
                Ok(channel) => return Ok(channel),
                Err(error) => tracing::debug!(error = picket_domain::cause(&error), "connecting anew"),
            }
        }
        if let Some(lost) = slot.take() {
            bury(lost);
            // What it does not answer here it may not answer anew, though it would still let one in.
            self.turn.fetch_add(1, Ordering::Relaxed);
        }
        let connection = self.connect(settings).await?;
        self.made.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("picket_broker_connections_total").increment(1);
        within(open(slot.insert(connection))).await
    }

    /// A connection to the first node that takes one.
    async fn connect(&self, settings: &BrokerSettings) -> Result<Connection, QueueError> {
        let addresses = addresses(settings)?;
        let is_cluster = addresses.len() > 1;
        let patience = if is_cluster { KNOCK } else { PATIENCE };
        let first = self.turn.load(Ordering::Relaxed).checked_rem(addresses.len()).unwrap_or_default();
        let mut failed = QueueError::Unreachable;
        for uri in addresses.iter().cycle().skip(first).take(addresses.len()) {
            let connected = Connection::connect_uri(uri.clone(), self.properties(settings, !is_cluster));
            match tokio::time::timeout(patience, connected).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => failed = error.into(),
                Err(_) => failed = QueueError::Unreachable,
            }
            self.turn.fetch_add(1, Ordering::Relaxed);
        }
        Err(failed)
    }

    fn properties(&self, settings: &BrokerSettings, recovers: bool) -> ConnectionProperties {
        let properties = ConnectionProperties::default();
        let name = format!("{}.{}", settings.prefix, settings.name);
        match self.purpose {
            Use::Consume => properties.with_connection_name(name.into()),
            Use::Publish if !recovers => properties.with_connection_name(format!("{name}.publisher").into()),
            Use::Publish => properties
                .with_connection_name(format!("{name}.publisher").into())
                .enable_auto_recover()
                .configure_backoff(|backoff| {
                    backoff
                        .with_max_times(30)
                        .with_min_delay(Duration::from_millis(100))
                        .with_max_delay(Duration::from_secs(1))
                }),
        }
    }
}

/// The addresses of the broker's nodes; at least one. A comma within one is written `%2C`.
fn addresses(settings: &BrokerSettings) -> Result<Vec<AMQPUri>, QueueError> {
    settings.url.split(',').map(|one| uri(one.trim())).collect()
}

fn uri(text: &str) -> Result<AMQPUri, QueueError> {
    // The parser's words would repeat the URL, and the password in it.
    let mut uri: AMQPUri = text.parse().map_err(|_| QueueError::Url)?;
    uri.query.heartbeat = uri.query.heartbeat.or(Some(HEARTBEAT));
    Ok(uri)
}

/// Waits for the broker's answer, but not for ever.
pub(crate) async fn within<T>(answer: impl Future<Output = Result<T, QueueError>>) -> Result<T, QueueError> {
    tokio::time::timeout(PATIENCE, answer).await.map_err(|_| QueueError::Unreachable)?
}

/// A new channel, after the recovery that may be under way.
async fn open(connection: &Connection) -> Result<Channel, QueueError> {
    settled(connection).await;
    Ok(connection.create_channel().await?)
}

async fn settled(connection: &Connection) {
    while connection.status().reconnecting() || connection.status().connecting() {
        tokio::time::sleep(GLANCE).await;
    }
}

/// Closes a connection that is given up, as soon as that is possible: forgotten while it is being recovered, it would
/// live on.
fn bury(connection: Connection) {
    in_background(async move {
        settled(&connection).await;
        // One that is gone already took everything with it.
        let _closed = connection.close(200, "bye".into()).await;
    });
}

/// Closes a channel that nobody will use again; the broker then gives back what was not acknowledged on it. One that is
/// being recovered cannot be closed yet, and forgotten it would live on: so this waits.
pub(crate) fn retire(channel: Channel) {
    in_background(async move {
        while channel.status().connected() || channel.status().closing() {
            if channel.close(200, "bye".into()).await.is_ok() {
                return;
            }
            tokio::time::sleep(GLANCE).await;
        }
    });
}

/// Where there is no runtime any more, the process ends, and its connections with it.
pub(crate) fn in_background(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(work);
    }
}
