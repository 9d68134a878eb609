//! Publishing with confirms. A message counts as sent only when the broker said that it has it and that somebody hears it;
//! everything else is said to the caller, who keeps the event.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesOrdered};
use lapin::{
    BasicProperties, Channel, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tokio::sync::Mutex;

use crate::{Broker, QueueError};

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

    /// Publishes all of them and waits for every confirm; the results are in the order of the messages.
    /// The caller bounds how many: 64 at once is where a broker is fastest (`delivery.md` §3).
    pub async fn publish(&self, messages: &[Message<'_>]) -> Vec<Result<(), QueueError>> {
        let mut slot = self.channel.lock().await;
        let channel = match self.ready(&mut slot).await {
            Ok(channel) => channel,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "no channel to publish on");
                return messages.iter().map(|_| Err(QueueError::Unreachable)).collect();
            }
        };
        let mut confirms: FuturesOrdered<_> =
            messages.iter().map(|message| publish_one(&channel, self.broker.names().events(), *message)).collect();
        let mut results = Vec::with_capacity(messages.len());
        while let Some(result) = confirms.next().await {
            results.push(result);
        }
        if results.iter().any(|result| matches!(result, Err(QueueError::Driver(_) | QueueError::Unconfirmed))) {
            // The end of these is unknown, and so is the state of the channel: the next round begins with a new one.
            *slot = None;
        }
        results
    }

    async fn ready(&self, slot: &mut Option<Channel>) -> Result<Channel, QueueError> {
        if let Some(channel) = slot.as_ref().filter(|channel| channel.status().connected()) {
            return Ok(channel.clone());
        }
        let channel = self.broker.channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        *slot = Some(channel.clone());
        Ok(channel)
    }
}

async fn publish_one(channel: &Channel, exchange: String, message: Message<'_>) -> Result<(), QueueError> {
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_message_id(message.id.into());
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirmed = async {
        let key = message.routing_key.into();
        channel.basic_publish(exchange.into(), key, options, message.body, properties).await?.await
    };
    match tokio::time::timeout(CONFIRM_TIMEOUT, confirmed).await {
        Err(_) => Err(QueueError::Unconfirmed),
        Ok(Err(error)) => Err(error.into()),
        Ok(Ok(Confirmation::Ack(None))) => Ok(()),
        Ok(Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)))) => {
            Err(QueueError::Unroutable(message.routing_key.to_owned()))
        }
        Ok(Ok(Confirmation::Nack(None) | Confirmation::NotRequested)) => Err(QueueError::Refused),
    }
}
