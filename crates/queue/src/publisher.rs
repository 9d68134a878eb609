//! Publishing with confirms. A message counts as sent only when the broker said that it has it and that somebody hears it;
//! everything else is said to the caller, who keeps the event.

use std::{collections::HashSet, time::Duration};

use futures_util::{StreamExt, stream::FuturesOrdered};
use lapin::{
    BasicProperties, Channel, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tokio::sync::Mutex;

use crate::{
    Broker, QueueError,
    line::{Use, retire, within},
};

/// How long the broker may take to confirm.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);
/// Persistent, in AMQP's numbers.
const PERSISTENT: u8 = 2;

/// Publishes to the exchange of events.
pub struct Publisher {
    broker: Broker,
    channel: Mutex<Option<Channel>>,
}

/// A message to publish.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Where it goes.
    pub routing_key: &'a str,
    /// The event's id, for people who look into a queue.
    pub id: &'a str,
    /// An encoded envelope.
    pub body: &'a [u8],
}

impl Publisher {
    pub(crate) fn new(broker: Broker) -> Self {
        Self { broker, channel: Mutex::new(None) }
    }

    /// Publishes all of them and waits for every confirm; the results are in the order of the messages, whose ids must
    /// differ. The caller bounds how many: 64 at once are ten times as fast as one (RabbitMQ 3.10).
    pub async fn publish(&self, messages: &[Message<'_>]) -> Vec<Result<(), QueueError>> {
        let mut slot = self.channel.lock().await;
        let channel = match self.ready(slot.take()).await {
            Ok(channel) => channel,
            Err(error) => {
                tracing::debug!(error = picket_domain::cause(&error), "no channel to publish on");
                return messages.iter().map(|_| Err(QueueError::Unreachable)).collect();
            }
        };
        let guard = Retiring(Some(channel.clone()));
        let exchange = self.broker.names().events();
        let confirms: FuturesOrdered<_> =
            messages.iter().map(|message| publish_one(&channel, exchange.clone(), *message)).collect();
        let results = judge(messages, confirms.collect().await);
        // Where the end of some is unknown, a late confirm could be taken for another message's. And a channel that refused
        // one goes on to: RabbitMQ 3.10 asks a dead node for its queue as long as the channel lives (a cluster whose leader
        // was killed).
        let is_spent = |result: &Result<(), QueueError>| match result {
            Ok(()) | Err(QueueError::Unroutable(_)) => false,
            Err(_) => true,
        };
        if !results.iter().any(is_spent) {
            *slot = guard.spare();
        }
        results
    }

    async fn ready(&self, kept: Option<Channel>) -> Result<Channel, QueueError> {
        let kept = Retiring(kept);
        if kept.0.as_ref().is_some_and(|channel| channel.status().connected())
            && let Some(channel) = kept.spare()
        {
            return Ok(channel);
        }
        let fresh = Retiring(Some(self.broker.channel(Use::Publish).await?));
        if let Some(channel) = &fresh.0 {
            within(async { Ok(channel.confirm_select(ConfirmSelectOptions::default()).await?) }).await?;
        }
        fresh.spare().ok_or(QueueError::Unreachable)
    }
}

/// A channel that is closed unless it is spared: also when the future around it is dropped in the middle.
struct Retiring(Option<Channel>);

impl Retiring {
    fn spare(mut self) -> Option<Channel> {
        self.0.take()
    }
}

impl Drop for Retiring {
    fn drop(&mut self) {
        if let Some(channel) = self.0.take() {
            retire(channel);
        }
    }
}

async fn publish_one(channel: &Channel, exchange: String, message: Message<'_>) -> Result<Confirmation, QueueError> {
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_message_id(message.id.into());
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirmed = async {
        let key = message.routing_key.into();
        let confirm = channel.basic_publish(exchange.into(), key, options, message.body, properties).await?;
        picket_faults::point("queue::before_confirm");
        if picket_faults::without("queue::confirm_wait") {
            return Ok(Confirmation::Ack(None));
        }
        confirm.await
    };
    let confirmed = tokio::time::timeout(CONFIRM_TIMEOUT, confirmed).await;
    Ok(confirmed.map_err(|_| QueueError::Unconfirmed)??)
}

/// Says of each message what became of it. The driver hands a returned message to any confirm that comes in the same
/// breath, and the broker confirms many at once: only the returned message itself says which one it is.
fn judge(
    messages: &[Message<'_>],
    confirmations: Vec<Result<Confirmation, QueueError>>,
) -> Vec<Result<(), QueueError>> {
    let mut returned = HashSet::new();
    let mut results = Vec::with_capacity(messages.len());
    for confirmation in confirmations {
        let (accepted, message) = match confirmation {
            Ok(Confirmation::Ack(message)) => (Ok(()), message),
            Ok(Confirmation::Nack(message)) => (Err(QueueError::Refused), message),
            Ok(Confirmation::NotRequested) => (Err(QueueError::Refused), None),
            Err(error) => (Err(error), None),
        };
        returned.extend(message.and_then(|message| message.properties.message_id().as_ref().map(ToString::to_string)));
        results.push(accepted);
    }
    let unroutable = |message: &Message<'_>| QueueError::Unroutable(message.routing_key.to_owned());
    let judged = messages.iter().zip(results);
    judged.map(|(one, result)| if returned.contains(one.id) { Err(unroutable(one)) } else { result }).collect()
}
