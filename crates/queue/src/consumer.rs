//! Taking messages, one at a time. Between two messages there is no subscription that could hold one back: a process that
//! is busy keeps nothing from a process that is free, and the broker's consumer timeout never meets a long task.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::{
    Channel,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions,
    },
    types::FieldTable,
};

use crate::{Broker, QueueError};

/// Pause after a failure, so that an absent broker is not asked in a tight loop.
const PAUSE: Duration = Duration::from_millis(500);

/// Takes messages of one queue.
pub struct Consumer {
    broker: Broker,
    queue: String,
    channel: Option<Channel>,
}

/// A message that was taken; the broker keeps it until it is told what became of it.
pub struct Delivery {
    inner: lapin::message::Delivery,
}

impl Consumer {
    pub(crate) const fn new(broker: Broker, queue: String) -> Self {
        Self { broker, queue, channel: None }
    }

    /// Waits for the next message, through restarts of the broker. May be dropped at any time: what was not returned is
    /// redelivered.
    pub async fn take(&mut self) -> Delivery {
        loop {
            match self.try_take().await {
                Ok(Some(delivery)) => return delivery,
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, queue = self.queue, "taking again");
                    self.channel = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn try_take(&mut self) -> Result<Option<Delivery>, QueueError> {
        let channel = self.ready().await?;
        let options = BasicConsumeOptions::default();
        let mut messages =
            channel.basic_consume(self.queue.as_str().into(), "".into(), options, FieldTable::default()).await?;
        // A future that is dropped here must not leave a subscription that swallows a message.
        let guard = CloseOnDrop { channel: Some(channel.clone()) };
        let Some(first) = messages.next().await else { return Ok(None) };
        let delivery = Delivery { inner: first? };
        // Cancelled before it is acknowledged: with a prefetch of 1 the broker sends no second one in between.
        channel.basic_cancel(messages.tag(), BasicCancelOptions::default()).await?;
        guard.disarm();
        Ok(Some(delivery))
    }

    async fn ready(&mut self) -> Result<Channel, QueueError> {
        if let Some(channel) = self.channel.as_ref().filter(|channel| channel.status().connected()) {
            return Ok(channel.clone());
        }
        let channel = self.broker.channel().await?;
        channel.basic_qos(1, BasicQosOptions::default()).await?;
        self.channel = Some(channel.clone());
        Ok(channel)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        drop(CloseOnDrop { channel: self.channel.take() });
    }
}

/// Closes the channel, which gives back what was not acknowledged, unless it is disarmed.
struct CloseOnDrop {
    channel: Option<Channel>,
}

impl CloseOnDrop {
    fn disarm(mut self) {
        self.channel = None;
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let (Some(channel), Ok(runtime)) = (self.channel.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                // A channel that is gone already gave everything back.
                let _closed = channel.close(200, "bye".into()).await;
            });
        }
    }
}

impl Delivery {
    /// The bytes.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.inner.data
    }

    /// Whether the broker gave it out before.
    #[must_use]
    pub const fn is_redelivered(&self) -> bool {
        self.inner.redelivered
    }

    /// Done with it.
    ///
    /// # Errors
    /// When the broker did not hear it: the message comes again.
    pub async fn ack(self) -> Result<(), QueueError> {
        self.inner.ack(BasicAckOptions::default()).await?;
        Ok(())
    }

    /// Gives it back, for anybody.
    ///
    /// # Errors
    /// When the broker did not hear it: the message comes again anyway.
    pub async fn give_back(self) -> Result<(), QueueError> {
        self.inner.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await?;
        Ok(())
    }

    /// Puts it aside with the dead letters: nobody can take it.
    ///
    /// # Errors
    /// When the broker did not hear it: the message comes again.
    pub async fn put_aside(self) -> Result<(), QueueError> {
        self.inner.reject(BasicRejectOptions { requeue: false }).await?;
        Ok(())
    }
}
