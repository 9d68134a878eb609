//! One event on its way to one webhook, and what an attempt leads to.
//!
//! ```text
//! pending ──claim──▶ sending ──2xx──▶ delivered
//!    ▲                  │
//!    └──try again later─┤──no attempt left, or 410──▶ exhausted
//! pending ──webhook deleted──▶ withdrawn
//! ```
//! Nobody is told of a delivery's changes, so they are no `Transition`.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{DeliveryId, EventId, Jitter, OrganizationId, RetrySchedule, WebhookId, WebhookUrl, retry};

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// Waits for its first or next attempt.
    Pending,
    /// A dispatcher holds its lease.
    Sending,
    /// The receiver took it.
    Delivered,
    /// Every attempt failed, or the receiver said that it is gone.
    Exhausted,
    /// Its webhook was deleted.
    Withdrawn,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Sending, Self::Delivered, Self::Exhausted, Self::Withdrawn];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Delivered => "delivered",
            Self::Exhausted => "exhausted",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// One claim of a delivery; what is done under an older attempt no longer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeliveryFence {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Grows at every claim.
    pub attempt: i32,
}

/// A delivery that a dispatcher has claimed, with all that it needs to send it. Not for logs: the body is a customer's.
#[derive(Clone)]
pub struct ClaimedDelivery {
    /// The claim.
    pub fence: DeliveryFence,
    /// Owner.
    pub organization_id: OrganizationId,
    /// The receiver.
    pub webhook_id: WebhookId,
    /// What happened; receivers deduplicate on it.
    pub event_id: EventId,
    /// Where to send it.
    pub url: WebhookUrl,
    /// The webhook's secret as it is stored, sealed.
    pub sealed_secret: Vec<u8>,
    /// The bytes that are signed and sent.
    pub body: Vec<u8>,
    /// Attempts that failed so far.
    pub failures: u32,
    /// The trace that caused the event (W3C `traceparent`).
    pub traceparent: Option<String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// There was no complete answer, or the address is refused.
    Unanswered,
}

impl Outcome {
    /// For how long the receiver wants to hear nothing at all: its `Retry-After` with 429 or 503, six hours at most.
    /// Holds every delivery of the webhook, not only the one that was answered.
    #[must_use]
    pub fn hold(self) -> Option<Duration> {
        match self {
            Self::Answered { status: 429 | 503, retry_after } => retry_after.map(retry::obeyed),
            Self::Answered { .. } | Self::Unanswered => None,
        }
    }
}

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver took it.
    Delivered,
    /// Try again.
    Retry {
        /// After this much time.
        after: Duration,
    },
    /// It was the last attempt.
    Exhausted,
    /// The receiver wants nothing any more (410): the webhook is disabled.
    Gone,
}

impl Verdict {
    /// Decides. `failures` are those before this attempt. Redirects are failures: they are never followed.
    #[must_use]
    pub fn of(outcome: Outcome, failures: u32, jitter: Jitter) -> Self {
        let hint = match outcome {
            Outcome::Answered { status: 200..=299, .. } => return Self::Delivered,
            Outcome::Answered { status: 410, .. } => return Self::Gone,
            Outcome::Answered { status: 429 | 503, retry_after } => retry_after,
            Outcome::Answered { .. } | Outcome::Unanswered => None,
        };
        RetrySchedule::DELIVERIES
            .delay(failures.saturating_add(1), jitter, hint)
            .map_or(Self::Exhausted, |after| Self::Retry { after })
    }
}

/// What one attempt did, for the log that the client reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryAttempt {
    /// Its number; the claim's.
    pub attempt: i32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
    /// The HTTP status, when the receiver answered.
    pub status: Option<u16>,
    /// Why there is no answer, in words that say nothing of our network.
    pub error: Option<String>,
    /// The same for programs: one word of a small set.
    pub error_class: Option<String>,
    /// The beginning of the answer's body as text.
    pub response: Option<String>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NO_JITTER: Jitter = Jitter(0);

    fn answered(status: u16) -> Outcome {
        Outcome::Answered { status, retry_after: None }
    }

    proptest! {
        #[test]
        fn only_2xx_is_taken_for_delivered(status in 100_u16..=999, failures in 0_u32..20, jitter: u16) {
            let verdict = Verdict::of(answered(status), failures, Jitter(jitter));
            prop_assert_eq!(verdict == Verdict::Delivered, (200..300).contains(&status));
            prop_assert_eq!(verdict == Verdict::Gone, status == 410);
        }

        #[test]
        fn a_delivery_ends_after_its_tenth_failure(failures in 0_u32..20, jitter: u16) {
            let verdict = Verdict::of(Outcome::Unanswered, failures, Jitter(jitter));
            prop_assert_eq!(verdict == Verdict::Exhausted, failures >= 9);
        }
    }

    #[test]
    fn retry_after_counts_with_429_and_503_alone() {
        let after = |status| {
            let outcome = Outcome::Answered { status, retry_after: Some(Duration::from_secs(600)) };
            Verdict::of(outcome, 0, NO_JITTER)
        };
        for status in [429, 503] {
            assert_eq!(after(status), Verdict::Retry { after: Duration::from_secs(600) });
        }
        for status in [302, 400, 500, 502] {
            assert_eq!(after(status), Verdict::Retry { after: Duration::from_secs(5) });
        }
    }

    #[test]
    fn a_receiver_holds_its_deliveries_with_429_and_503_alone_and_for_six_hours_at_most() {
        let hold = |status, seconds| {
            Outcome::Answered { status, retry_after: Some(Duration::from_secs(seconds)) }
                .hold()
                .map(|one| one.as_secs())
        };
        assert_eq!((hold(429, 60), hold(503, 1_000_000)), (Some(60), Some(6 * 3_600)));
        assert_eq!(
            (hold(200, 60), hold(500, 60), answered(429).hold(), Outcome::Unanswered.hold()),
            (None, None, None, None)
        );
    }

    #[test]
    fn every_state_is_found_by_its_name() {
        assert!(DeliveryState::ALL.into_iter().all(|state| DeliveryState::find(state.name()) == Some(state)));
    }
}
