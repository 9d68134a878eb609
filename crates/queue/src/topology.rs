//! Every exchange and queue, in one table: who hears what. Declared by the steward, again and again, which is harmless and
//! brings back what somebody deleted; other roles only look whether their queues are there. Works on RabbitMQ 3.10 to 4.x: limits and dead letters are set by us, since the defaults differ.

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use picket_domain::Pool;

use crate::QueueError;

/// Deliveries of one message after which it is put aside. Far above what restarts cause, far below for ever.
const DELIVERY_LIMIT: i64 = 20;

/// A queue of the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Admitted tasks of one pool, for its workers.
    Tasks(Pool),
    /// Public events, for the dispatcher.
    Deliveries,
    /// Reports to render.
    Reports,
    /// Messages that nobody could take, until the steward has written them down for people.
    Dead,
}

impl Queue {
    /// Every queue.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all: Vec<_> = Pool::ALL.into_iter().map(Self::Tasks).collect();
        all.extend([Self::Deliveries, Self::Reports, Self::Dead]);
        all
    }

    /// The name without the namespace.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Tasks(pool) => format!("tasks.{}", pool.name()),
            Self::Deliveries => "deliveries".to_owned(),
            Self::Reports => "reports".to_owned(),
            Self::Dead => "dead".to_owned(),
        }
    }

    /// The routing keys that it hears. Every key of `EventBody::routing_key` is in exactly one line.
    #[must_use]
    pub fn keys(self) -> Vec<String> {
        match self {
            Self::Tasks(pool) => vec![format!("task.queued.{}", pool.name())],
            Self::Deliveries => ["scan.*", "finding.found", "report.generated"].map(str::to_owned).to_vec(),
            Self::Reports => vec!["report.requested".to_owned()],
            Self::Dead => Vec::new(),
        }
    }
}

/// The names of one installation on a broker that others may use too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// Names that begin with `prefix`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The topic exchange of all events.
    #[must_use]
    pub fn events(&self) -> String {
        format!("{}.events", self.prefix)
    }

    fn dead(&self) -> String {
        format!("{}.dead", self.prefix)
    }

    /// A queue's name.
    #[must_use]
    pub fn queue(&self, queue: Queue) -> String {
        format!("{}.{}", self.prefix, queue.name())
    }

    /// The queue of ours that has that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Queue> {
        Queue::all().into_iter().find(|queue| self.queue(*queue) == name)
    }
}

/// Declares everything.
pub(crate) async fn declare(channel: &Channel, names: &Names) -> Result<(), QueueError> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let none = FieldTable::default();
    channel.exchange_declare(names.dead().into(), ExchangeKind::Fanout, durable, none.clone()).await?;
    channel.exchange_declare(names.events().into(), ExchangeKind::Topic, durable, none.clone()).await?;
    for queue in Queue::all() {
        let (name, arguments) = (names.queue(queue), arguments(queue, names));
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(name.clone().into(), options, arguments).await?;
        for key in queue.keys() {
            let bind = QueueBindOptions::default();
            channel.queue_bind(name.clone().into(), names.events().into(), key.into(), bind, none.clone()).await?;
        }
    }
    let (dead, exchange) = (names.queue(Queue::Dead), names.dead());
    channel.queue_bind(dead.into(), exchange.into(), "".into(), QueueBindOptions::default(), none).await?;
    Ok(())
}

/// Looks whether queues are there.
pub(crate) async fn find(channel: &Channel, names: &Names, queues: &[Queue]) -> Result<(), QueueError> {
    for queue in queues {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(names.queue(*queue).into(), options, FieldTable::default()).await?;
    }
    Ok(())
}

fn arguments(queue: Queue, names: &Names) -> FieldTable {
    let mut table = FieldTable::default();
    let mut text = |key: &str, value: String| {
        table.insert(key.into(), AMQPValue::LongString(value.into()));
    };
    text("x-queue-type", "quorum".to_owned());
    if queue != Queue::Dead {
        text("x-dead-letter-exchange", names.dead());
        text("x-dead-letter-strategy", "at-least-once".to_owned());
        // What at-least-once dead lettering asks for; no length limit is set, so nothing is refused for it.
        text("x-overflow", "reject-publish".to_owned());
        table.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a topic pattern of ours hears a key; knows `*` alone, which is all that the table uses.
    fn hears(pattern: &str, key: &str) -> bool {
        let (mut pattern, mut key) = (pattern.split('.'), key.split('.'));
        loop {
            match (pattern.next(), key.next()) {
                (None, None) => return true,
                (Some(want), Some(have)) if want == "*" || want == have => {}
                _ => return false,
            }
        }
    }

    #[test]
    fn every_event_is_heard_by_exactly_one_queue() {
        let keys = picket_domain::EventBody::NAMES.iter().flat_map(|name| match *name {
            "task.queued" => Pool::ALL.iter().map(|pool| format!("task.queued.{}", pool.name())).collect(),
            name => vec![name.to_owned()],
        });
        for key in keys {
            let heard = Queue::all().into_iter().filter(|queue| queue.keys().iter().any(|one| hears(one, &key)));
            assert_eq!(heard.count(), 1, "{key}");
        }
    }
}
