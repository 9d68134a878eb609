//! Who guesses secrets waits: so many tries may fail per account and network, and per address, in a quarter of an hour. A
//! try is counted before the secret is looked at, and the same way whether or not somebody has the account, so that
//! neither many at once nor the answer gain anything. It counts per network, so that a stranger elsewhere locks nobody out.
//! When a Redis is configured and away, nobody passes; without one this process counts alone.

mod local;

use std::{
    future::Future,
    net::{IpAddr, Ipv6Addr},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use picket_live::{Live, TryEnd, TryLimits, TryPlace};
use sha2::{Digest, Sha256};

use self::local::LocalTries;
use crate::{GatewaySettings, Problem, access::neighborhood};

/// How long a failed try counts.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// Counts tries.
pub(crate) struct Throttle {
    live: Option<Live>,
    local: LocalTries,
    limits: TryLimits,
    /// Names the tries of this process; the other half of a name is random.
    next: AtomicU64,
    process: u64,
}

/// What every try is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guess<'a> {
    /// Whose secret it is: an address in whatever case, or an id.
    pub account: &'a str,
    /// Who guesses.
    pub address: IpAddr,
    /// When.
    pub now: Timestamp,
}

impl Throttle {
    /// Counts in Redis when there is one.
    pub(crate) fn new(live: Option<Live>, settings: &GatewaySettings) -> Self {
        let limits = TryLimits {
            window: WINDOW,
            per_account: settings.login_tries_per_account,
            per_address: settings.login_tries_per_address,
        };
        Self { live, local: LocalTries::default(), limits, next: AtomicU64::new(0), process: rand::random() }
    }

    /// Looks at a secret, when there were not too many tries: `look` says what it opened, or `None` when it was wrong.
    /// A failure of ours costs nobody a try.
    ///
    /// # Errors
    /// [`Problem::RateLimited`] after too many tries, [`Problem::Unavailable`] when nobody can count them, or what `look`
    /// returned.
    pub(crate) async fn guard<T>(
        &self,
        guess: Guess<'_>,
        look: impl Future<Output = Result<Option<T>, Problem>>,
    ) -> Result<Option<T>, Problem> {
        let place = place(guess);
        let name = format!("{:x}-{:x}", self.process, self.next.fetch_add(1, Ordering::Relaxed));
        if let Some(wait) = self.begin(&place, &name, guess.now).await? {
            metrics::counter!("picket_throttled_tries_total").increment(1);
            let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
            return Err(Problem::RateLimited { retry_after: seconds.max(1) });
        }
        let looked = look.await;
        let end = match &looked {
            Ok(Some(_)) => TryEnd::Succeeded,
            Ok(None) => return looked,
            Err(_) => TryEnd::Unknown,
        };
        self.end(&place, &name, end).await;
        looked
    }

    async fn begin(&self, place: &TryPlace, name: &str, now: Timestamp) -> Result<Option<Duration>, Problem> {
        match &self.live {
            Some(live) => {
                live.begin_try(place, name, self.limits).await.map_err(|error| Problem::Unavailable(Box::new(error)))
            }
            None => Ok(self.local.begin(place, name, self.limits, now)),
        }
    }

    async fn end(&self, place: &TryPlace, name: &str, end: TryEnd) {
        let Some(live) = &self.live else { return self.local.end(place, name, end) };
        if let Err(error) = live.end_try(place, name, end).await {
            // It stays counted, which is the safe side.
            tracing::warn!(error = picket_domain::cause(&error), "a try that did not fail stays counted");
        }
    }
}

fn place(guess: Guess<'_>) -> TryPlace {
    TryPlace {
        neighborhood: network(guess.address),
        account: digest(&fold(guess.account)),
        address: neighborhood(guess.address),
    }
}

/// The network of an address: /24, or /48, which is what one customer of an access provider may have.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}")
        }
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 80 << 80).to_string(),
    }
}

/// One form of all spellings of an account that the database takes for the same. It may take more for the same than the
/// database does, never fewer: each spelling would otherwise have tries of its own.
fn fold(account: &str) -> String {
    account.trim().chars().filter_map(|c| c.to_lowercase().next()).collect()
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_what_one_customer_has() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("192.0.2.254"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.9"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:1::1"), of("2001:db8:1:ffff::9"));
        assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
    }

    #[test]
    fn no_spelling_of_an_account_has_tries_of_its_own() {
        for spelling in ["ida@example.com", " IDA@EXAMPLE.COM ", "İda@example.com", "Ida@Example.com"] {
            assert_eq!(fold(spelling), "ida@example.com", "{spelling}");
        }
        assert_eq!(fold("ΣΑΣ"), fold("σασ"));
        assert_eq!(fold("\u{212a}ay"), "kay");
        assert!(!digest(&fold("ida@example.com")).contains("ida"));
    }

    #[tokio::test]
    async fn without_a_redis_the_process_counts_by_itself_and_our_failures_cost_nobody_a_try() {
        let throttle = Throttle::new(None, &GatewaySettings::default());
        let at = |address: &str| Guess {
            account: "ada@example.com",
            address: address.parse().unwrap(),
            now: Timestamp::UNIX_EPOCH,
        };
        let here = at("192.0.2.1");
        let failed = throttle.guard(here, async { Err::<Option<()>, _>(Problem::NotFound("x")) });
        assert!(failed.await.is_err());
        for _ in 0..4 {
            assert_eq!(throttle.guard(here, async { Ok(None::<()>) }).await.unwrap(), None);
        }
        assert_eq!(throttle.guard(here, async { Ok(Some(1)) }).await.unwrap(), Some(1));
        for _ in 0..5 {
            assert_eq!(throttle.guard(here, async { Ok(None::<()>) }).await.unwrap(), None);
        }
        let refused = throttle.guard(here, async { Ok(Some(())) }).await;
        assert!(matches!(refused, Err(Problem::RateLimited { retry_after: 900 })), "{refused:?}");
        assert!(throttle.guard(at("198.51.100.1"), async { Ok(Some(())) }).await.unwrap().is_some());
    }
}
