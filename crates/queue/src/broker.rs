//! The broker as the roles know it: declares, publishes, consumes. How the connections live is in [`crate::line`].

use std::{sync::Arc, time::Duration};

use lapin::Channel;

use crate::{
    Consumer, Publisher, QueueError,
    line::{Line, Use, retire, within},
    topology::{self, Names, Queue},
};

/// How long the whole topology may take: a new quorum queue is an election and a few flushes to disk.
const DECLARING: Duration = Duration::from_secs(60);

/// How to reach the broker.
#[derive(Clone)]
pub struct BrokerSettings {
    /// An AMQP URL; of a cluster one for each node, separated by commas, which are tried in turn. A comma in a password is
    /// written `%2C`.
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

/// A broker; cheap to clone, all clones share their connections.
#[derive(Clone)]
pub struct Broker(Arc<Shared>);

struct Shared {
    settings: BrokerSettings,
    names: Names,
    publishing: Line,
    consuming: Line,
}

impl Broker {
    /// Does not connect yet: that is done when somebody needs it, so that a role starts before its broker.
    #[must_use]
    pub fn new(settings: BrokerSettings) -> Self {
        let names = Names::new(&settings.prefix);
        Self(Arc::new(Shared {
            settings,
            names,
            publishing: Line::new(Use::Publish),
            consuming: Line::new(Use::Consume),
        }))
    }

    /// The names of exchanges and queues.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.0.names
    }

    /// Declares every exchange and queue. The steward's alone: no other role's user of the broker may (statement 34 of
    /// `docs/security.md`).
    ///
    /// # Errors
    /// When the broker is away, or has one of them with other arguments.
    pub async fn declare(&self) -> Result<(), QueueError> {
        let channel = self.channel(Use::Consume).await?;
        let declared = tokio::time::timeout(DECLARING, topology::declare(&channel, &self.0.names)).await;
        retire(channel);
        declared.map_err(|_| QueueError::Unreachable)?
    }

    /// Whether these queues are there; asking needs no rights at the broker.
    ///
    /// # Errors
    /// When the broker is away, or one of them is not declared yet.
    pub async fn find(&self, queues: &[Queue]) -> Result<(), QueueError> {
        let channel = self.channel(Use::Consume).await?;
        let found = within(topology::find(&channel, &self.0.names, queues)).await;
        retire(channel);
        found
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
        match self.channel(Use::Consume).await {
            Ok(channel) => within(async { Ok(channel.close(200, "bye".into()).await?) }).await.is_ok(),
            Err(_) => false,
        }
    }

    /// How many connections were made so far: one for each use, and one more for each that was lost for good.
    #[must_use]
    pub fn connections_made(&self) -> u64 {
        self.0.publishing.made().saturating_add(self.0.consuming.made())
    }

    /// A new channel on the line of that use.
    pub(crate) async fn channel(&self, purpose: Use) -> Result<Channel, QueueError> {
        let line = match purpose {
            Use::Publish => &self.0.publishing,
            Use::Consume => &self.0.consuming,
        };
        line.channel(&self.0.settings).await
    }
}
