//! What an organization pays for, and the limits that follow from it. One line a plan; nothing else knows a number.

use serde::{Deserialize, Serialize};

/// What an organization subscribed to; `plan` on the wire and in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subscription {
    /// To try it.
    Trial,
    /// Small teams.
    Starter,
    /// Teams.
    Professional,
    /// Large organizations.
    Enterprise,
}

/// The limits of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionLimits {
    /// Requests a minute on v1 (`docs/contract.md`, rate limits).
    pub v1_per_minute: u32,
    /// Requests on v1 that may come at once.
    pub v1_burst: u32,
    /// Requests an hour on v2.
    pub v2_per_hour: u32,
    /// Tasks that are admitted or run at once.
    pub tasks_in_flight: u32,
    /// Share of free slots against other organizations.
    pub weight: u32,
    /// Addresses in one scan.
    pub addresses: u32,
    /// Webhooks at one time.
    pub webhooks: u32,
    /// API keys at one time.
    pub api_keys: u32,
    /// Targets that are kept at one time.
    pub targets: u32,
}

/// What may be kept on every plan alike: enough for any honest use, too little to fill the database with.
const WEBHOOKS: u32 = 50;
const API_KEYS: u32 = 100;
const TARGETS: u32 = 10_000;

impl Subscription {
    /// Every subscription, smallest first.
    pub const ALL: [Self; 4] = [Self::Trial, Self::Starter, Self::Professional, Self::Enterprise];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Starter => "starter",
            Self::Professional => "professional",
            Self::Enterprise => "enterprise",
        }
    }

    /// The subscription of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|subscription| subscription.name() == name)
    }

    /// Its limits.
    #[must_use]
    pub const fn limits(self) -> SubscriptionLimits {
        let (v1_per_minute, v1_burst, v2_per_hour, tasks_in_flight, weight, addresses) = match self {
            Self::Trial => (10, 5, 20, 2, 1, 16),
            Self::Starter => (30, 15, 100, 4, 2, 256),
            Self::Professional => (60, 30, 1_000, 10, 4, 4_096),
            Self::Enterprise => (300, 100, 10_000, 40, 8, 65_536),
        };
        SubscriptionLimits {
            v1_per_minute,
            v1_burst,
            v2_per_hour,
            tasks_in_flight,
            weight,
            addresses,
            webhooks: WEBHOOKS,
            api_keys: API_KEYS,
            targets: TARGETS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_subscription_never_allows_less() {
        for pair in Subscription::ALL.windows(2) {
            let (less, more) = (pair[0].limits(), pair[1].limits());
            assert!(less.v1_per_minute <= more.v1_per_minute && less.v1_burst <= more.v1_burst);
            assert!(less.v2_per_hour <= more.v2_per_hour && less.tasks_in_flight <= more.tasks_in_flight);
            assert!(less.addresses <= more.addresses && less.weight <= more.weight);
            assert!(less.webhooks <= more.webhooks && less.api_keys <= more.api_keys && less.targets <= more.targets);
        }
        assert!(Subscription::ALL.into_iter().all(|one| Subscription::find(one.name()) == Some(one)));
    }
}
