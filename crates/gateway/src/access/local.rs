//! Counting in this process alone, for as long as Redis is away.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
};

use governor::{
    Quota, RateLimiter, clock::Clock as _, clock::DefaultClock, middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};
use picket_live::{Count, Rate};

/// Subjects of one rate beyond which those that rest are forgotten.
const MANY: usize = 10_000;

type Limiter = RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// One limiter per rate; there are few.
#[derive(Default)]
pub(crate) struct LocalLimits(Mutex<HashMap<Rate, Arc<Limiter>>>);

impl LocalLimits {
    /// Counts one.
    pub(crate) fn count(&self, subject: &str, bucket: &'static str, rate: Rate) -> Count {
        let limiter = self.limiter(rate);
        if limiter.len() > MANY {
            limiter.retain_recent();
        }
        let full = |missing: u32| rate.interval().saturating_mul(missing);
        match limiter.check_key(&format!("{bucket}:{subject}")) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let reset_after = full(rate.burst.saturating_sub(remaining));
                Count { is_allowed: true, remaining, retry_after: std::time::Duration::ZERO, reset_after }
            }
            Err(not_until) => {
                let retry_after = not_until.wait_time_from(DefaultClock::default().now());
                Count { is_allowed: false, remaining: 0, retry_after, reset_after: full(rate.burst) }
            }
        }
    }

    fn limiter(&self, rate: Rate) -> Arc<Limiter> {
        let mut limiters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        limiters.entry(rate).or_insert_with(|| Arc::new(limiter(rate))).clone()
    }
}

fn limiter(rate: Rate) -> Limiter {
    let burst = NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(rate.interval()).unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN));
    RateLimiter::keyed(quota.allow_burst(burst)).with_middleware::<StateInformationMiddleware>()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_the_next_one_waits() {
        let limits = LocalLimits::default();
        let rate = Rate { limit: 10, period: Duration::from_secs(60), burst: 5 };
        let remaining: Vec<u32> = (0..5).map(|_| limits.count("org_a", "v1", rate).remaining).collect();
        assert_eq!(remaining, [4, 3, 2, 1, 0]);
        let refused = limits.count("org_a", "v1", rate);
        assert!(!refused.is_allowed && refused.retry_after > Duration::from_secs(4));
        assert!(limits.count("org_b", "v1", rate).is_allowed);
    }
}
