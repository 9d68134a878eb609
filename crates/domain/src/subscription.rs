//! What an organization pays for, and the limits that follow from it: one line a limit, one column a plan. Nothing else
//! knows a number.

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

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $kind:ty = $trial:literal, $starter:literal, $professional:literal, $enterprise:literal;)*) => {
        /// The limits of a subscription.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct SubscriptionLimits {
            $($(#[$doc])* pub $name: $kind,)*
        }

        impl Subscription {
            /// Its limits.
            #[must_use]
            pub const fn limits(self) -> SubscriptionLimits {
                match self {
                    Self::Trial => SubscriptionLimits { $($name: $trial,)* },
                    Self::Starter => SubscriptionLimits { $($name: $starter,)* },
                    Self::Professional => SubscriptionLimits { $($name: $professional,)* },
                    Self::Enterprise => SubscriptionLimits { $($name: $enterprise,)* },
                }
            }
        }

        #[cfg(test)]
        impl SubscriptionLimits {
            /// Whether nothing here is less than there.
            fn covers(&self, other: &Self) -> bool {
                true $(&& self.$name >= other.$name)*
            }
        }
    };
}

// The one table of limits. The rates are the published ones (`docs/contract.md`, rate limits), the rest is ours.
limits! {
    //                                           trial,   starter, professional,  enterprise
    /// Requests a minute on v1.
    v1_per_minute: u32                       =      10,        30,           60,         300;
    /// Requests on v1 that may come at once.
    v1_burst: u32                            =       5,        15,           30,         100;
    /// Requests an hour on v2.
    v2_per_hour: u32                         =      20,       100,        1_000,      10_000;
    /// Scans that have not ended, at one time.
    concurrent_scans: u32                    =       5,        20,          100,       1_000;
    /// Tasks that are admitted or run at once.
    tasks_in_flight: u32                     =       2,         4,           10,          40;
    /// Share of free slots against other organizations.
    weight: u32                              =       1,         2,            4,           8;
    /// Addresses in one scan.
    addresses: u32                           =      16,       256,        4_096,      65_536;
    /// Hosts × ports in one scan, over all its runs. Every plan has room for each port of one host in two runs.
    probes: u64                              = 200_000, 1_000_000,   10_000_000, 100_000_000;
    /// Tasks of one scan, with those that grow from its results.
    tasks: u32                               =     200,     5_000,       10_000,      40_000;
    /// Bytes of one report of a tool that is imported.
    import_bytes: u64                        = 16_777_216, 33_554_432, 67_108_864, 67_108_864;
    /// Reports that are waiting or being rendered, at one time.
    reports_at_once: u32                     =       5,        10,           25,         200;
    /// Reports in 24 hours.
    reports_per_day: u32                     =      20,       100,        1_000,      10_000;
    /// Targets that are kept at one time.
    targets: u32                             =     100,     1_000,       10_000,      50_000;
    /// Saved profiles of scans at one time.
    profiles: u32                            =      10,        50,          200,       1_000;
    /// Webhooks at one time; those that are disabled count.
    webhooks: u32                            =      10,        20,           50,         200;
    /// API keys that are valid at one time.
    api_keys: u32                            =      20,        50,          100,         500;
    /// The most days that results are kept.
    retention_days: u32                      =      30,        90,          365,       1_095;
    /// The most days that the raw output of tools is kept.
    raw_output_days: u32                     =       7,        30,           90,         365;
    /// Live streams at one gateway, at one time.
    streams: u32                             =       5,        10,           25,         100;
}

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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_subscription_never_allows_less() {
        for pair in Subscription::ALL.windows(2) {
            assert!(pair[1].limits().covers(&pair[0].limits()), "{pair:?}");
        }
        assert!(Subscription::ALL.into_iter().all(|one| Subscription::find(one.name()) == Some(one)));
    }

    #[test]
    fn every_plan_can_run_the_published_examples() {
        let trial = Subscription::Trial.limits();
        // Seed 1: ports 1-10000 of one host, in a connect run and a raw one; seed 2: the full plan.
        assert!(trial.probes >= 2 * 10_000 && trial.probes >= 1_000 * u64::from(trial.addresses));
        assert!(trial.probes >= 2 * 65_535);
    }
}
