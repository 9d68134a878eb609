//! Takes from the broker what it has put aside, and writes it down for people. A message is a hint, so nothing is lost with
//! one; it must never be published again.

use std::time::Duration;

use picket_queue::{Broker, Consumer, Delivery, topology::Names, topology::Queue};
use picket_store::{
    Db, Notice, StoreError,
    dead_letters::{self, DeadLetter},
};
use tokio::sync::Mutex;

use crate::rounds::{Loop, Round, RoundError};

/// Between two tries to write one down. The message is held meanwhile: given back again and again, a broker may drop it.
const PAUSE: Duration = Duration::from_secs(1);
/// Why a broker puts messages aside, in its words.
const REASONS: [&str; 4] = ["rejected", "delivery_limit", "expired", "maxlen"];
/// Where those words are others.
const UNKNOWN: &str = "unknown";

/// Writes dead letters down.
pub struct DeadLetters {
    db: Db,
    names: Names,
    consumer: Mutex<Consumer>,
}

impl DeadLetters {
    /// Of this broker.
    #[must_use]
    pub fn new(db: Db, broker: &Broker) -> Self {
        Self { db, names: broker.names().clone(), consumer: Mutex::new(broker.consumer(Queue::Dead)) }
    }

    /// Waits for one message and writes it down. When the process dies between that and the broker's hearing of it, it is
    /// written down twice.
    ///
    /// # Errors
    /// When the broker did not hear it.
    pub async fn write_down(&self) -> Result<(), RoundError> {
        let delivery = self.consumer.lock().await.take().await;
        while let Err(error) = self.add(&delivery).await {
            tracing::warn!(
                error = picket_domain::cause(&error),
                "a dead letter was not written down, it is tried again"
            );
            tokio::time::sleep(PAUSE).await;
        }
        Ok(delivery.ack().await?)
    }

    async fn add(&self, delivery: &Delivery) -> Result<(), StoreError> {
        let (queue, reason) = delivery.death().unwrap_or((UNKNOWN, UNKNOWN));
        let queue = self.names.find(queue).map_or_else(|| UNKNOWN.to_owned(), Queue::name);
        let reason = REASONS.into_iter().find(|known| *known == reason).unwrap_or(UNKNOWN);
        let letter =
            DeadLetter { queue: &queue, reason, routing_key: delivery.routing_key(), content: delivery.body() };
        self.db.operate("dead_letters.add", async |tx| dead_letters::add(tx, letter).await).await?;
        tracing::warn!(queue, reason, size_bytes = delivery.body().len(), "a message that nobody could take");
        metrics::counter!("picket_dead_letters_total", "queue" => queue.clone()).increment(1);
        Ok(())
    }
}

impl Loop for DeadLetters {
    const NAME: &'static str = "dead_letters";
    const WOKEN_BY: Option<Notice> = None;

    async fn round(&self) -> Result<Round, RoundError> {
        self.write_down().await?;
        Ok(Round::Again)
    }
}
