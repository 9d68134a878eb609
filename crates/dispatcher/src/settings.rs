//! What operators may change of the dispatcher.

use std::time::Duration;

use serde::Deserialize;

use crate::SmtpSettings;

/// Settings of the dispatcher's loops.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DispatcherSettings {
    /// Sends under way at once in this process.
    pub in_flight: usize,
    /// Sends under way at once to one webhook, of all processes together.
    pub in_flight_per_webhook: usize,
    /// Milliseconds between two looks for due deliveries when nothing wakes the loop.
    pub poll_ms: u64,
    /// Letters under way at once in this process.
    pub mails_in_flight: usize,
    /// Milliseconds between two sweeps: events whose message was lost, claims of dispatchers that died, letters that
    /// nobody was told of.
    pub sweep_ms: u64,
    /// Age in milliseconds from which an event without deliveries counts as lost on its way.
    pub grace_ms: u64,
    /// Seconds that sends under way may go on after SIGTERM.
    pub drain_seconds: u64,
    /// The mail server; without one letters wait until they expire.
    pub smtp: Option<SmtpSettings>,
}

impl Default for DispatcherSettings {
    fn default() -> Self {
        Self {
            in_flight: 256,
            in_flight_per_webhook: 8,
            poll_ms: 500,
            mails_in_flight: 8,
            sweep_ms: 5_000,
            grace_ms: 10_000,
            drain_seconds: 20,
            smtp: None,
        }
    }
}

impl DispatcherSettings {
    pub(crate) const fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }

    pub(crate) const fn sweep(&self) -> Duration {
        Duration::from_millis(self.sweep_ms)
    }

    pub(crate) const fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms)
    }

    pub(crate) const fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}
