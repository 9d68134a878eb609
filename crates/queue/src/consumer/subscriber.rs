//! The talk of one consumer with the broker: subscribe, receive one message, unsubscribe unless more are wanted, hand it
//! over. Every step is finished, also when nobody waits any more; a step that fails ends with its channel closed.

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

/// What a consumer wants.
pub(super) enum Request {
    /// A message; the answer is closed when nobody waits for it any more.
    Take { answer: oneshot::Sender<Delivery>, stays: bool },
    /// No subscription; the answer says that there is none.
    Leave(oneshot::Sender<()>),
}

/// Serves the requests of one consumer.
pub(super) struct Subscriber {
    broker: Broker,
    queue: String,
    channel: Option<Channel>,
    /// A subscription that stays between two messages.
    subscribed: Option<lapin::Consumer>,
}

impl Subscriber {
    pub(super) const fn new(broker: Broker, queue: String) -> Self {
        Self { broker, queue, channel: None, subscribed: None }
    }

    /// Serves until the consumer is gone.
    pub(super) async fn serve_all(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(request) = requests.recv().await {
            match request {
                Request::Take { mut answer, stays } => {
                    if let Some(delivery) = self.serve(&mut answer, stays).await
                        && let Err(unwanted) = answer.send(delivery)
                    {
                        // It goes back by being dropped, and must not come here again.
                        self.leave().await;
                        drop(unwanted);
                    }
                }
                Request::Leave(answer) => {
                    self.leave().await;
                    let _told = answer.send(());
                }
            }
        }
        self.let_go();
    }

    /// The next message; nothing when nobody waits any more.
    async fn serve(&mut self, request: &mut oneshot::Sender<Delivery>, stays: bool) -> Option<Delivery> {
        while !request.is_closed() {
            match self.take(request, stays).await {
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

    async fn take(
        &mut self,
        request: &mut oneshot::Sender<Delivery>,
        stays: bool,
    ) -> Result<Option<Delivery>, QueueError> {
        let channel = self.ready().await?;
        let mut messages = match self.subscribed.take() {
            Some(messages) => messages,
            None => self.subscribe(&channel).await?,
        };
        let received = receive(&channel, &mut messages, request).await?;
        if stays && received.is_some() {
            self.subscribed = Some(messages);
        } else {
            // Before the message is acknowledged: with a prefetch of 1 the broker sends no second one in between.
            unsubscribe(&channel, messages).await?;
        }
        Ok(received)
    }

    async fn subscribe(&self, channel: &Channel) -> Result<lapin::Consumer, QueueError> {
        let (queue, options) = (self.queue.as_str().into(), BasicConsumeOptions::default());
        let subscribed = async { Ok(channel.basic_consume(queue, "".into(), options, FieldTable::default()).await?) };
        within(subscribed).await
    }

    /// Ends a subscription that stayed; where that fails, its channel ends with it.
    async fn leave(&mut self) {
        let (Some(channel), Some(messages)) = (&self.channel, self.subscribed.take()) else { return };
        if let Err(error) = unsubscribe(channel, messages).await {
            tracing::debug!(error = picket_domain::cause(&error), queue = self.queue, "a subscription was let go");
            self.let_go();
        }
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
        self.subscribed = None;
        if let Some(channel) = self.channel.take() {
            retire(channel);
        }
    }
}

/// Ends a subscription. What came while nobody waited any more goes back by being dropped.
async fn unsubscribe(channel: &Channel, mut messages: lapin::Consumer) -> Result<(), QueueError> {
    within(async { Ok(channel.basic_cancel(messages.tag(), BasicCancelOptions::default()).await?) }).await?;
    while let Some(Ok(late)) = messages.next().await {
        drop(Delivery::new(late));
    }
    Ok(())
}

/// The next message of a subscription; nothing when nobody waits any more.
async fn receive(
    channel: &Channel,
    messages: &mut lapin::Consumer,
    request: &mut oneshot::Sender<Delivery>,
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
