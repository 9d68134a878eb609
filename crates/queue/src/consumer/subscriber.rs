//! The talk of one consumer with the broker: subscribe, receive one message, unsubscribe, hand it over. Every step is
//! finished, also when nobody waits any more; a step that fails ends with its channel closed.

use futures_util::StreamExt;
use lapin::{
    Channel,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::sync::{mpsc, oneshot};

use super::{Delivery, PAUSE};
use crate::{
    Broker, QueueError,
    line::{PATIENCE, Use, retire, within},
};

/// Somebody waits for a message; closed when nobody does any more.
pub(super) type Request = oneshot::Sender<Delivery>;

/// Serves the requests of one consumer.
pub(super) struct Subscriber {
    broker: Broker,
    queue: String,
    channel: Option<Channel>,
}

impl Subscriber {
    pub(super) const fn new(broker: Broker, queue: String) -> Self {
        Self { broker, queue, channel: None }
    }

    /// Serves until the consumer is gone.
    pub(super) async fn serve_all(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(mut request) = requests.recv().await {
            if let Some(delivery) = self.serve(&mut request).await {
                // What nobody waits for any more goes back by being dropped.
                let _unwanted = request.send(delivery);
            }
        }
        self.let_go();
    }

    /// The next message; nothing when nobody waits any more.
    async fn serve(&mut self, request: &mut Request) -> Option<Delivery> {
        while !request.is_closed() {
            match self.take(request).await {
                Ok(taken) => return taken,
                Err(error) => {
                    tracing::debug!(error = picket_domain::cause(&error), queue = self.queue, "taking again");
                    self.let_go();
                    let _given_up = tokio::time::timeout(PAUSE, request.closed()).await;
                }
            }
        }
        None
    }

    async fn take(&mut self, request: &mut Request) -> Result<Option<Delivery>, QueueError> {
        let channel = self.ready().await?;
        let (queue, options) = (self.queue.as_str().into(), BasicConsumeOptions::default());
        let subscribed = async { Ok(channel.basic_consume(queue, "".into(), options, FieldTable::default()).await?) };
        let mut messages = within(subscribed).await?;
        let received = receive(&channel, &mut messages, request).await?;
        // Before the message is acknowledged: with a prefetch of 1 the broker sends no second one in between.
        within(async { Ok(channel.basic_cancel(messages.tag(), BasicCancelOptions::default()).await?) }).await?;
        if received.is_none() {
            // One that came while nobody waited any more goes back by being dropped.
            while let Some(Ok(late)) = messages.next().await {
                drop(Delivery::new(late));
            }
        }
        Ok(received)
    }

    async fn ready(&mut self) -> Result<Channel, QueueError> {
        if let Some(channel) = self.channel.as_ref().filter(|channel| channel.status().connected()) {
            return Ok(channel.clone());
        }
        self.let_go();
        let channel = self.broker.channel(Use::Consume).await?;
        within(async { Ok(channel.basic_qos(1, BasicQosOptions::default()).await?) }).await?;
        self.channel = Some(channel.clone());
        Ok(channel)
    }

    fn let_go(&mut self) {
        if let Some(channel) = self.channel.take() {
            retire(channel);
        }
    }
}

/// The first message of a subscription; nothing when nobody waits any more.
async fn receive(
    channel: &Channel,
    messages: &mut lapin::Consumer,
    request: &mut Request,
) -> Result<Option<Delivery>, QueueError> {
    loop {
        tokio::select! {
            message = messages.next() => {
                return Ok(Some(Delivery::new(message.ok_or(QueueError::Ended)??)));
            }
            () = request.closed() => return Ok(None),
            // A subscription comes back with its connection, unless that takes too long.
            () = tokio::time::sleep(PATIENCE) => {
                if !channel.status().connected() {
                    return Err(QueueError::Ended);
                }
            }
        }
    }
}
