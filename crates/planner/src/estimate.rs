//! How long a plan takes, in words. A promise of nothing: the numbers are ours until medians are measured.

use picket_domain::Plan;

/// Minutes that each plan takes for one shard of one target, from and to.
const MINUTES: [(Plan, u64, u64); 3] = [(Plan::Quick, 1, 3), (Plan::Custom, 5, 10), (Plan::Full, 10, 15)];

/// Tasks of one scan that usually run at once: those of one host under the full plan.
const AT_ONCE: u64 = 10;

/// The text of `estimated_duration`, e.g. `10-15 minutes`. `tasks` is how many tasks the scan begins with.
#[must_use]
pub fn estimated_duration(plan: Plan, tasks: usize) -> String {
    let rounds = u64::try_from(tasks).unwrap_or(u64::MAX).div_ceil(AT_ONCE);
    if rounds == 0 {
        return "less than 1 minute".to_owned();
    }
    let (_, from, to) = MINUTES.into_iter().find(|(one, ..)| *one == plan).unwrap_or((plan, 10, 15));
    format!("{}-{} minutes", from.saturating_mul(rounds), to.saturating_mul(rounds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_has_an_estimate() {
        assert!(Plan::ALL.into_iter().all(|plan| MINUTES.iter().any(|(one, ..)| *one == plan)));
        assert_eq!(estimated_duration(Plan::Full, 1), "10-15 minutes");
        assert_eq!(estimated_duration(Plan::Quick, 11), "2-6 minutes");
    }

    #[test]
    fn a_plan_without_tasks_is_over_at_once() {
        assert_eq!(estimated_duration(Plan::Full, 0), "less than 1 minute");
    }
}
