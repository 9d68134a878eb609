//! One connection to the broker: made when it is needed, made anew when it is lost for good.
//!
//! Publishing and consuming have a line each. The driver recovers the line that publishes: its channels hold nothing but
//! the wish for confirms. It does not recover the line that consumes, for it would bring back a subscription that was
//! being given up in the moment of the fault, and such a subscription takes a message for nobody and keeps it; who
//! consumes subscribes again by itself. (`tests/broker/restart.rs` finds that message missing.) Besides, a broker that
//! is short of memory stops reading from who publishes: acknowledgements must not wait behind.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use lapin::{Channel, Connection, ConnectionProperties, uri::AMQPUri};
use tokio::sync::Mutex;

use crate::{BrokerSettings, QueueError};

/// How long anybody waits for an answer of the broker, recovery included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at a connection that is being recovered.
const GLANCE: Duration = Duration::from_millis(50);
/// Seconds between heartbeats, unless the URL says otherwise: a broker that vanishes without a word, behind a cable that
/// was pulled, is noticed within two of them; the broker's own proposal is a minute.
const HEARTBEAT: u16 = 10;

/// What a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Publishing: recovered by the driver.
    Publish,
    /// Everything else: made anew by the next caller.
    Consume,
}

/// A connection, shared by all channels of one use.
pub(crate) struct Line {
    purpose: Use,
    connection: Mutex<Option<Connection>>,
    made: AtomicU64,
}

impl Line {
    pub(crate) fn new(purpose: Use) -> Self {
        Self { purpose, connection: Mutex::new(None), made: AtomicU64::new(0) }
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
        }
        let (uri, properties) = (uri(settings)?, self.properties(settings));
        let connection = within(async { Ok(Connection::connect_uri(uri, properties).await?) }).await?;
        self.made.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("picket_broker_connections_total").increment(1);
        within(open(slot.insert(connection))).await
    }

    fn properties(&self, settings: &BrokerSettings) -> ConnectionProperties {
        let properties = ConnectionProperties::default();
        let name = format!("{}.{}", settings.prefix, settings.name);
        match self.purpose {
            Use::Consume => properties.with_connection_name(name.into()),
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

fn uri(settings: &BrokerSettings) -> Result<AMQPUri, QueueError> {
    // The parser's words would repeat the URL, and the password in it.
    let mut uri: AMQPUri = settings.url.parse().map_err(|_| QueueError::Url)?;
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
