//! Hints that there is something new of a scan, from whoever stored it to every gateway that streams it. A hint is a name and
//! nothing more: lost, forged or doubled it changes nothing but when somebody looks at the database.

use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::PubSub;

use crate::{Live, LiveError};

/// The longest name that is passed on.
const LONGEST_BYTES: usize = 64;

/// Hears hints; one of these is enough for a process.
pub struct Hints {
    connection: PubSub,
}

impl Live {
    /// Says that there is something new of this scan.
    ///
    /// # Errors
    /// Whenever Redis does not answer at once; then whoever waits looks by its timer.
    pub async fn hint(&self, scan: &str) -> Result<(), LiveError> {
        let channel = self.scans();
        self.ask(async |mut connection| {
            redis::cmd("PUBLISH").arg(&channel).arg(scan).query_async::<()>(&mut connection).await
        })
        .await
    }

    /// Begins to hear hints, on a connection of its own.
    ///
    /// # Errors
    /// When Redis does not answer in time.
    pub async fn hints(&self) -> Result<Hints, LiveError> {
        let subscribe = async {
            let mut connection = self.client().get_async_pubsub().await?;
            connection.subscribe(self.scans()).await?;
            Ok(Hints { connection })
        };
        // Connecting takes several questions.
        let patience = self.timeout().saturating_mul(5);
        tokio::time::timeout(patience, subscribe).await.map_err(|_| LiveError::Timeout)?
    }

    fn scans(&self) -> String {
        format!("{}:scans", self.key_prefix())
    }
}

impl Hints {
    /// Whether Redis still answers on this connection: one that broke without a word says nothing else.
    pub async fn is_alive(&mut self, patience: Duration) -> bool {
        let answer = tokio::time::timeout(patience, self.connection.ping_message::<redis::Value>("")).await;
        matches!(answer, Ok(Ok(_)))
    }

    /// The scan of the next hint; empty when the message was none. `None` when the connection broke.
    pub async fn next(&mut self) -> Option<String> {
        let message = self.connection.on_message().next().await?;
        let text = std::str::from_utf8(message.get_payload_bytes()).unwrap_or_default();
        Some(if text.len() <= LONGEST_BYTES { text.to_owned() } else { String::new() })
    }
}
