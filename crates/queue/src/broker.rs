//! The connection. It comes back by itself after a restart of the broker; where it cannot, the next caller makes a new one.

use std::{sync::Arc, time::Duration};

use lapin::{Channel, Connection, ConnectionProperties};
use tokio::sync::Mutex;

use crate::{
    Consumer, Publisher, QueueError,
    topology::{self, Names, Queue},
};

/// How long anybody waits for the connection before it is made anew.
const PATIENCE: Duration = Duration::from_secs(10);

/// How to reach the broker.
#[derive(Debug, Clone)]
pub struct BrokerSettings {
    /// An AMQP URL.
    pub url: String,
    /// What all names begin with; `picket` in production, one's own in a test.
    pub prefix: String,
    /// Who connects, for the broker's own views.
    pub name: String,
}

/// A broker; cheap to clone, all clones share one connection.
#[derive(Clone)]
pub struct Broker(Arc<Shared>);

struct Shared {
    settings: BrokerSettings,
    names: Names,
    connection: Mutex<Option<Connection>>,
}

impl Broker {
    /// Does not connect yet: that is done when somebody needs it, so that a role starts before its broker.
    #[must_use]
    pub fn new(settings: BrokerSettings) -> Self {
        let names = Names::new(&settings.prefix);
        Self(Arc::new(Shared { settings, names, connection: Mutex::new(None) }))
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
        topology::declare(&self.channel().await?, &self.0.names).await
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
            Ok(channel) => channel.close(200, "bye".into()).await.is_ok(),
            Err(_) => false,
        }
    }

    /// A new channel on the shared connection, which is made first where there is none that works.
    pub(crate) async fn channel(&self) -> Result<Channel, QueueError> {
        let mut slot = self.0.connection.lock().await;
        if let Some(connection) = slot.as_ref() {
            match tokio::time::timeout(PATIENCE, connection.create_channel()).await {
                Ok(Ok(channel)) => return Ok(channel),
                Ok(Err(error)) => tracing::debug!(error = &error as &dyn std::error::Error, "connecting anew"),
                Err(_) => tracing::debug!("the broker keeps a channel waiting, connecting anew"),
            }
            *slot = None;
        }
        let connection = tokio::time::timeout(PATIENCE, Connection::connect(&self.0.settings.url, self.properties()))
            .await
            .map_err(|_| QueueError::Unreachable)??;
        let channel = connection.create_channel().await?;
        *slot = Some(connection);
        Ok(channel)
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
