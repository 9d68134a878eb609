//! The connections, one of each thread, so that no question waits for another thread to pass it on: made when first needed,
//! made again after any failure, and left alone for a second after one, so that a dead Redis costs one request its
//! patience and not every request. All threads learn of a failure at once: a connection that was made before it is asked
//! nothing more, else each thread would fail once, and rest, when Redis has long returned.

use std::{
    cell::RefCell,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{
    Client,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use secrecy::ExposeSecret;
use thread_local::ThreadLocal;

use crate::{LiveError, LiveSettings};

/// How long nobody asks after a failure.
const REST: Duration = Duration::from_secs(1);

/// A handle to Redis; cheap to clone.
#[derive(Clone)]
pub struct Live {
    connections: Arc<ThreadLocal<RefCell<Made>>>,
    client: Client,
    config: ConnectionManagerConfig,
    key_prefix: Arc<str>,
    timeout: Duration,
    failed_at: Arc<Mutex<Option<Instant>>>,
    failures: Arc<AtomicU64>,
}

/// A thread's connection.
struct Made {
    connection: ConnectionManager,
    /// How many failures there had been.
    failures: u64,
}

impl Live {
    /// A handle; each thread connects when it first asks. Needs a tokio runtime.
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
        Ok(Self {
            connections: Arc::default(),
            client,
            config,
            key_prefix: settings.key_prefix.as_str().into(),
            timeout,
            failed_at: Arc::default(),
            failures: Arc::default(),
        })
    }

    /// This thread's connection, made after the last failure.
    fn connection(&self) -> Result<ConnectionManager, LiveError> {
        let failures = self.failures.load(Ordering::Relaxed);
        let make = || {
            let made = ConnectionManager::new_lazy_with_config(self.client.clone(), self.config.clone());
            made.map(|connection| Made { connection, failures }).map_err(LiveError::Url)
        };
        let made = self.connections.get_or_try(|| make().map(RefCell::new))?;
        let mut made = made.borrow_mut();
        if made.failures != failures {
            *made = make()?;
        }
        Ok(made.connection.clone())
    }

    /// Whether Redis answers.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> Result<(), LiveError> {
        self.ask(async |mut connection| redis::cmd("PING").query_async::<()>(&mut connection).await).await
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn key_prefix(&self) -> &str {
        &self.key_prefix
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
        let answer = tokio::time::timeout(self.timeout, question(self.connection()?)).await;
        let answer = answer.map_err(|_| LiveError::Timeout).and_then(|answer| answer.map_err(LiveError::Driver));
        if answer.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
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
