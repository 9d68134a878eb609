//! Taking messages, one at a time. Who is busy holds nothing back from who is free: between two messages there is no
//! subscription, or one whose only message is not acknowledged yet, behind which the broker sends no other. The latter
//! spares short work two commands that a quorum queue writes to disk.
//!
//! The talk with the broker is a task of its own, so that it is never broken off in the middle: whoever waits for a
//! message may stop waiting at any moment.

mod subscriber;

use std::time::Duration;

use lapin::{
    options::{BasicAckOptions, BasicRejectOptions},
    types::AMQPValue,
};
use subscriber::{Request, Subscriber};
use tokio::sync::{mpsc, oneshot};

use crate::{Broker, QueueError, line::in_background};

/// Pause after a failure, so that an absent broker is not asked in a tight loop.
const PAUSE: Duration = Duration::from_millis(500);

/// Takes messages of one queue. What it gave out and what was not settled goes back when it is dropped.
pub struct Consumer {
    broker: Broker,
    queue: String,
    requests: Option<mpsc::Sender<Request>>,
}

/// A message that was taken; the broker keeps it until it is told what became of it. One that is dropped goes back.
#[derive(Debug)]
pub struct Delivery {
    inner: Option<lapin::message::Delivery>,
    body: Vec<u8>,
    is_redelivered: bool,
    /// The queue that put it aside first, with its namespace, and why.
    death: Option<(String, String)>,
}

impl Consumer {
    pub(crate) const fn new(broker: Broker, queue: String) -> Self {
        Self { broker, queue, requests: None }
    }

    /// Waits for the next message, through restarts of the broker. May be dropped at any time: what was not returned is
    /// given back.
    pub async fn take(&mut self) -> Delivery {
        self.take_next(false).await
    }

    /// The same, and the subscription stays: the next message comes once this one is acknowledged. Whoever acknowledges
    /// and does not take again at once must [`Self::leave`] before.
    pub async fn take_and_stay(&mut self) -> Delivery {
        self.take_next(true).await
    }

    /// Ends the subscription, if there is one; what was taken stays taken.
    pub async fn leave(&mut self) {
        let (request, answer) = oneshot::channel();
        if self.requests().send(Request::Leave(request)).await.is_ok() {
            // A subscriber that broke has closed its channel.
            let _left = answer.await;
        }
    }

    async fn take_next(&mut self, stays: bool) -> Delivery {
        loop {
            let (request, answer) = oneshot::channel();
            if self.requests().send(Request::Take { answer: request, stays }).await.is_ok()
                && let Ok(delivery) = answer.await
            {
                return delivery;
            }
            // The task ends with its consumer, so this one broke.
            tracing::error!(queue = self.queue, "a subscriber broke, another one takes over");
            self.requests = None;
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn requests(&mut self) -> &mpsc::Sender<Request> {
        self.requests.get_or_insert_with(|| {
            let (sender, requests) = mpsc::channel(1);
            tokio::spawn(Subscriber::new(self.broker.clone(), self.queue.clone()).serve_all(requests));
            sender
        })
    }
}

impl Delivery {
    fn new(mut inner: lapin::message::Delivery) -> Self {
        let (body, is_redelivered) = (std::mem::take(&mut inner.data), inner.redelivered);
        let death = header(&inner, "x-first-death-queue").zip(header(&inner, "x-first-death-reason"));
        Self { inner: Some(inner), body, is_redelivered, death }
    }

    /// The bytes.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether the broker gave it out before.
    #[must_use]
    pub const fn is_redelivered(&self) -> bool {
        self.is_redelivered
    }

    /// Which queue put it aside, with the namespace, and why, in the broker's words; of a dead letter alone. Whoever may publish
    /// can claim anything here.
    #[must_use]
    pub fn death(&self) -> Option<(&str, &str)> {
        self.death.as_ref().map(|(queue, reason)| (queue.as_str(), reason.as_str()))
    }

    /// The key that it was published with; empty when it is settled already.
    #[must_use]
    pub fn routing_key(&self) -> &str {
        self.inner.as_ref().map_or("", |inner| inner.routing_key.as_str())
    }

    /// Done with it.
    ///
    /// # Errors
    /// When the broker did not hear it: the message comes again.
    pub async fn ack(mut self) -> Result<(), QueueError> {
        match self.inner.take() {
            Some(inner) => heard(inner.ack(BasicAckOptions::default()).await?),
            None => Ok(()),
        }
    }

    /// Gives it back, for anybody.
    ///
    /// # Errors
    /// When the broker did not hear it: the message comes again anyway.
    pub async fn give_back(mut self) -> Result<(), QueueError> {
        self.reject(true).await
    }

    /// Puts it aside with the dead letters: nobody can take it.
    ///
    /// # Errors
    /// When the broker did not hear it: the message comes again.
    pub async fn put_aside(mut self) -> Result<(), QueueError> {
        self.reject(false).await
    }

    /// With `basic.reject`, which counts against the delivery limit on every version; `basic.nack` does not from 4.3 on.
    async fn reject(&mut self, requeue: bool) -> Result<(), QueueError> {
        match self.inner.take() {
            Some(inner) => heard(inner.reject(BasicRejectOptions { requeue }).await?),
            None => Ok(()),
        }
    }
}

/// A header that is text.
fn header(delivery: &lapin::message::Delivery, name: &str) -> Option<String> {
    let headers = delivery.properties.headers().as_ref()?;
    headers.inner().get(name).and_then(AMQPValue::as_long_string).map(ToString::to_string)
}

/// The driver says `false` when the message was taken on a channel that is gone by now.
const fn heard(is_heard: bool) -> Result<(), QueueError> {
    if is_heard { Ok(()) } else { Err(QueueError::Ended) }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            in_background(async move {
                // Where the broker does not hear it, the message comes again anyway.
                let _given_back = inner.reject(BasicRejectOptions { requeue: true }).await;
            });
        }
    }
}
