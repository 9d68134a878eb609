//! Rate limits by the generic cell rate algorithm: one number per bucket, changed in one call by a script that runs on
//! Redis' own clock, so gateways with different clocks agree.

use std::{sync::LazyLock, time::Duration};

use redis::Script;

use crate::{Live, LiveError};

/// The script; its comment says what it takes and returns.
static GCRA: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("gcra.lua")));

/// How often something may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// So many times …
    pub limit: u32,
    /// … in so long.
    pub period: Duration,
    /// So many at once, after a rest.
    pub burst: u32,
}

impl Rate {
    /// The time in which one token comes back.
    #[must_use]
    pub fn interval(self) -> Duration {
        self.period.checked_div(self.limit.max(1)).unwrap_or(self.period)
    }
}

/// What became of one count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Whether it may be done.
    pub is_allowed: bool,
    /// How many more may be done at once.
    pub remaining: u32,
    /// How long until one may be done; zero when it may be done now.
    pub retry_after: Duration,
    /// How long until the burst is full again.
    pub reset_after: Duration,
}

impl Live {
    /// Counts one against the bucket `name` of `subject`.
    ///
    /// # Errors
    /// Whenever Redis does not answer at once; then the caller counts by itself.
    pub async fn count(&self, subject: &str, name: &str, rate: Rate) -> Result<Count, LiveError> {
        self.spend(subject, name, rate, 1).await
    }

    /// Takes one count back, for what turned out to be another bucket's.
    ///
    /// # Errors
    /// Whenever Redis does not answer at once; then the count stands.
    pub async fn give_back(&self, subject: &str, name: &str, rate: Rate) -> Result<Count, LiveError> {
        self.spend(subject, name, rate, -1).await
    }

    async fn spend(&self, subject: &str, name: &str, rate: Rate, cost: i8) -> Result<Count, LiveError> {
        let key = self.key("rate", subject, name);
        let interval = u64::try_from(rate.interval().as_micros()).unwrap_or(u64::MAX).max(1);
        let (allowed, _, remaining, retry_after, reset_after): (u8, u64, i64, i64, i64) = self
            .ask(async |mut connection| {
                let mut call = GCRA.prepare_invoke();
                call.key(&key).arg(interval).arg(rate.burst.max(1)).arg(cost);
                call.invoke_async(&mut connection).await
            })
            .await?;
        let micros = |value: i64| Duration::from_micros(u64::try_from(value).unwrap_or_default());
        Ok(Count {
            is_allowed: allowed == 1,
            remaining: u32::try_from(remaining).unwrap_or_default(),
            retry_after: micros(retry_after),
            reset_after: micros(reset_after),
        })
    }
}
