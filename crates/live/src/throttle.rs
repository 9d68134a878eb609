//! Tries that may fail only so often, such as passwords. A try is counted before anybody knows whether it fails, and given
//! back when it does not; so however many come at once, no more than the limit are looked at. Unlike a rate limit there is
//! nothing to fall back on here: without an answer the caller must refuse.

use std::{sync::LazyLock, time::Duration};

use redis::Script;

use crate::{Live, LiveError};

/// The script; its comment says what it takes and returns.
static BEGIN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("tries.lua")));

/// Forgets one try, or at the account all of them.
static END: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if ARGV[2] == 'all' then redis.call('DEL', KEYS[1]) else redis.call('ZREM', KEYS[1], ARGV[1]) end \
         return redis.call('ZREM', KEYS[2], ARGV[1])",
    )
});

/// How many tries of one kind may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TryLimits {
    /// How long a failed try counts.
    pub window: Duration,
    /// Of one account, from one neighborhood.
    pub per_account: u32,
    /// Of one address, whatever the account.
    pub per_address: u32,
}

/// What one try is counted against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TryPlace {
    /// The network that the address is in; all keys of it lie together.
    pub neighborhood: String,
    /// Whose secret is tried; a digest, since keys show up in Redis' own tools.
    pub account: String,
    /// Who tries.
    pub address: String,
}

/// How a try ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryEnd {
    /// It succeeded: the account's tries from this neighborhood are forgotten.
    Succeeded,
    /// Nobody knows, since something of ours was down: this one is forgotten.
    Unknown,
}

impl Live {
    /// Counts a try; `Some` is how long to wait when there were too many, and then it is not counted.
    ///
    /// # Errors
    /// Whenever Redis does not answer at once; then nothing may be tried.
    pub async fn begin_try(
        &self,
        place: &TryPlace,
        name: &str,
        limits: TryLimits,
    ) -> Result<Option<Duration>, LiveError> {
        let [account, address] = self.tries_of(place);
        let window = u64::try_from(limits.window.as_micros()).unwrap_or(u64::MAX);
        let (is_allowed, wait): (u8, i64) = self
            .ask(async |mut connection| {
                let mut call = BEGIN.prepare_invoke();
                call.key(&account).key(&address).arg(window);
                call.arg(limits.per_account.max(1)).arg(limits.per_address.max(1)).arg(name);
                call.invoke_async(&mut connection).await
            })
            .await?;
        let wait = Duration::from_micros(u64::try_from(wait).unwrap_or_default());
        Ok((is_allowed == 0).then_some(wait))
    }

    /// Gives back a try that did not fail.
    ///
    /// # Errors
    /// Whenever Redis does not answer at once; then the try stays counted.
    pub async fn end_try(&self, place: &TryPlace, name: &str, end: TryEnd) -> Result<(), LiveError> {
        let [account, address] = self.tries_of(place);
        let what = if end == TryEnd::Succeeded { "all" } else { "one" };
        self.ask(async |mut connection| {
            let mut call = END.prepare_invoke();
            call.key(&account).key(&address).arg(name).arg(what);
            call.invoke_async::<i64>(&mut connection).await
        })
        .await?;
        Ok(())
    }

    fn tries_of(&self, place: &TryPlace) -> [String; 2] {
        let key = |name: String| self.key("tries", &place.neighborhood, &name);
        [key(format!("account:{}", place.account)), key(format!("address:{}", place.address))]
    }
}
