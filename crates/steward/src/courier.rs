//! The courier: brings the messages of tasks that admission of the same process has just let go to the broker, without asking
//! the database for them again. What it does not bring, or a crash keeps it from, a relay brings a few seconds later: so it
//! is never the only way, and it must never be one for what has to be numbered.

use picket_kit::Shutdown;
use picket_queue::{Broker, Publisher};
use picket_store::{
    Db, StoreError,
    events::{self, Outgoing},
};
use tokio::sync::mpsc;

use crate::relay::{WINDOW, bring};

/// Rounds of admission that may wait for the broker; then admission waits too.
const ROUNDS: usize = 64;

/// Where admission leaves what it has written.
#[derive(Clone)]
pub struct Hand(mpsc::Sender<Vec<Outgoing>>);

impl Hand {
    /// Leaves messages whose transaction is committed. They are lost to the courier when it is gone, and to nobody else.
    pub(crate) async fn leave(&self, messages: Vec<Outgoing>) {
        if !messages.is_empty() && self.0.send(messages).await.is_err() {
            tracing::debug!("the courier is gone, a relay brings what admission let go");
        }
    }
}

/// Brings what is left in its hand.
pub struct Courier {
    db: Db,
    publisher: Publisher,
    left: mpsc::Receiver<Vec<Outgoing>>,
}

impl Courier {
    /// A courier with a channel of its own, and its hand.
    #[must_use]
    pub fn new(db: Db, broker: &Broker) -> (Hand, Self) {
        let (hand, left) = mpsc::channel(ROUNDS);
        (Hand(hand), Self { db, publisher: broker.publisher(), left })
    }

    /// Brings until shutdown; what is left then goes to the relays.
    pub async fn run(mut self, shutdown: &Shutdown) {
        while let Some(Some(first)) = shutdown.or(self.left.recv()).await {
            let waiting = self.with_more(first);
            for window in waiting.chunks(WINDOW) {
                let Some(brought) = shutdown.or(bring(&self.db, &self.publisher, window)).await else { break };
                if let Err(error) = brought {
                    tracing::warn!(error = picket_domain::cause(&error), "tasks wait for a relay");
                }
            }
        }
        self.left.close();
        let rest = self.with_more(Vec::new());
        if let Err(error) = self.give_back(&rest).await {
            tracing::debug!(error = picket_domain::cause(&error), "a relay waits until what was in hand is free");
        }
    }

    /// What waits by now, in one list.
    fn with_more(&mut self, mut waiting: Vec<Outgoing>) -> Vec<Outgoing> {
        while let Ok(more) = self.left.try_recv() {
            waiting.extend(more);
        }
        waiting
    }

    async fn give_back(&self, rest: &[Outgoing]) -> Result<(), StoreError> {
        let rest: Vec<&Outgoing> = rest.iter().collect();
        self.db.operate_lightly("courier.give_back", async |tx| events::release(tx, &rest).await).await
    }
}
