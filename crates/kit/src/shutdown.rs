//! One signal that everything stops for. It never comes back: a role that was told to stop stops.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Tells loops to stop; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// A signal that somebody in this process will give.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A signal that SIGTERM or SIGINT gives.
    ///
    /// # Errors
    /// When the process cannot listen for signals.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::new();
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let told = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("told to stop");
            told.stop();
        });
        Ok(shutdown)
    }

    /// Tells everybody to stop.
    pub fn stop(&self) {
        self.0.cancel();
    }

    /// Waits until it is time to stop.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    /// Whether it is time to stop.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits for `future`, or returns `None` when it is time to stop.
    pub async fn or<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            () = self.wait() => None,
            done = future => Some(done),
        }
    }

    /// A part of the process that may be stopped alone, and stops with the whole.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }
}
