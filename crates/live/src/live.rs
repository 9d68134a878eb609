//! The connection: made when first needed, made again when it breaks, and left alone for a second after a failure, so that
//! a dead Redis costs one request its patience and not every request.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use redis::{
    Client,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use secrecy::ExposeSecret;

use crate::{LiveError, LiveSettings};

/// How long nobody asks after a failure.
const REST: Duration = Duration::from_secs(1);

/// A handle to Redis; cheap to clone.
#[derive(Clone)]
pub struct Live {
    connection: ConnectionManager,
    key_prefix: Arc<str>,
    timeout: Duration,
    failed_at: Arc<Mutex<Option<Instant>>>,
}

impl Live {
    /// A handle; connects when it is first used. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn new(settings: &LiveSettings) -> Result<Self, LiveError> {
        let timeout = Duration::from_millis(settings.timeout_ms);
        let client = Client::open(settings.url.expose_secret()).map_err(LiveError::Url)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout))
            .set_number_of_retries(1);
        let connection = ConnectionManager::new_lazy_with_config(client, config).map_err(LiveError::Url)?;
        Ok(Self { connection, key_prefix: settings.key_prefix.as_str().into(), timeout, failed_at: Arc::default() })
    }

    /// Whether Redis answers.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> Result<(), LiveError> {
        self.ask(async |mut connection| redis::cmd("PING").query_async::<()>(&mut connection).await).await
    }

    /// A key of this platform. What is in braces decides the slot of a cluster, so that all keys of one subject are
    /// together.
    pub(crate) fn key(&self, area: &str, subject: &str, name: &str) -> String {
        format!("{}:{area}:{{{subject}}}:{name}", self.key_prefix)
    }

    /// Asks Redis, within the time that a question may take.
    pub(crate) async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(ConnectionManager) -> Result<T, redis::RedisError>,
    ) -> Result<T, LiveError> {
        if self.is_resting() {
            return Err(LiveError::Resting);
        }
        let answer = tokio::time::timeout(self.timeout, question(self.connection.clone())).await;
        let answer = answer.map_err(|_| LiveError::Timeout).and_then(|answer| answer.map_err(LiveError::Driver));
        if answer.is_err() {
            *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        answer
    }

    fn is_resting(&self) -> bool {
        let failed_at = self.failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        failed_at.is_some_and(|at| at.elapsed() < REST)
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("key_prefix", &self.key_prefix).finish_non_exhaustive()
    }
}
