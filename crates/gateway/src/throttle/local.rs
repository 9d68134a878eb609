//! Counting tries in this process alone, where no Redis is configured.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use picket_live::{TryEnd, TryLimits, TryPlace};

/// Accounts and addresses that are remembered.
const MOST: usize = 20_000;

type Tries = Vec<(Timestamp, String)>;

/// The tries of the last window, by key, oldest first.
#[derive(Default)]
pub(super) struct LocalTries(Mutex<HashMap<String, Tries>>);

impl LocalTries {
    /// Counts a try; `Some` is how long to wait when there were too many.
    pub(super) fn begin(&self, place: &TryPlace, name: &str, limits: TryLimits, now: Timestamp) -> Option<Duration> {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = keys(place).into_iter().zip([limits.per_account, limits.per_address]);
        let waits = counted.filter_map(|(key, limit)| wait(tries.get_mut(&key)?, limit, limits.window, now));
        if let Some(longest) = waits.max() {
            return Some(longest);
        }
        make_room(&mut tries, limits.window, now);
        for key in keys(place) {
            tries.entry(key).or_default().push((now, name.to_owned()));
        }
        None
    }

    /// Gives back a try that did not fail.
    pub(super) fn end(&self, place: &TryPlace, name: &str, end: TryEnd) {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [account, address] = keys(place);
        if end == TryEnd::Succeeded {
            tries.remove(&account);
        }
        for key in [account, address] {
            if let Some(one) = tries.get_mut(&key) {
                one.retain(|(_, known)| known != name);
            }
        }
    }
}

fn keys(place: &TryPlace) -> [String; 2] {
    [format!("account:{}:{}", place.neighborhood, place.account), format!("address:{}", place.address)]
}

/// How long until there is room for one more; forgets what is too old.
fn wait(tries: &mut Tries, limit: u32, window: Duration, now: Timestamp) -> Option<Duration> {
    tries.retain(|(at, _)| age(*at, now) < window);
    let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
    let (oldest, _) = tries.get(tries.len().checked_sub(limit)?)?;
    Some(window.saturating_sub(age(*oldest, now)))
}

/// Forgets what is too old, and when that is not enough, the half that was longest left alone.
fn make_room(tries: &mut HashMap<String, Tries>, window: Duration, now: Timestamp) {
    if tries.len() < MOST {
        return;
    }
    tries.retain(|_, one| one.last().is_some_and(|(at, _)| age(*at, now) < window));
    if tries.len() < MOST {
        return;
    }
    let mut known: Vec<_> = tries.iter().map(|(key, one)| (one.last().map(|(at, _)| *at), key.clone())).collect();
    known.sort_unstable();
    for (_, key) in known.iter().take(MOST / 2) {
        tries.remove(key);
    }
}

fn age(at: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(at).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const LIMITS: TryLimits = TryLimits { window: Duration::from_secs(900), per_account: 5, per_address: 20 };

    fn place(account: &str) -> TryPlace {
        TryPlace { neighborhood: "192.0.2".to_owned(), account: account.to_owned(), address: "192.0.2.1".to_owned() }
    }

    #[test]
    fn it_counts_as_redis_does() {
        let (tries, start) = (LocalTries::default(), Timestamp::UNIX_EPOCH);
        let at = |seconds: i64| start + SignedDuration::from_secs(seconds);
        for number in 0..5 {
            assert_eq!(tries.begin(&place("ada"), &number.to_string(), LIMITS, at(number)), None);
        }
        assert_eq!(tries.begin(&place("ada"), "5", LIMITS, at(10)), Some(Duration::from_secs(890)));
        tries.end(&place("ada"), "4", TryEnd::Unknown);
        assert_eq!(tries.begin(&place("ada"), "6", LIMITS, at(10)), None);
        tries.end(&place("ada"), "6", TryEnd::Succeeded);
        for number in 0..5 {
            assert_eq!(tries.begin(&place("ada"), &format!("a{number}"), LIMITS, at(20)), None);
        }
        for number in 0..11 {
            assert_eq!(tries.begin(&place(&number.to_string()), &format!("b{number}"), LIMITS, at(20)), None);
        }
        assert_eq!(tries.begin(&place("bob"), "c", LIMITS, at(20)), Some(Duration::from_secs(880)), "the address");
        assert_eq!(tries.begin(&place("bob"), "d", LIMITS, at(900)), None, "the first is forgotten");
    }

    #[test]
    fn it_keeps_no_more_than_it_may() {
        let (tries, start) = (LocalTries::default(), Timestamp::UNIX_EPOCH);
        for number in 0..MOST {
            tries.begin(&TryPlace { address: number.to_string(), ..place(&number.to_string()) }, "x", LIMITS, start);
        }
        let kept = tries.0.lock().unwrap().len();
        assert!((MOST / 2..=MOST + 1).contains(&kept), "{kept}");
    }
}
