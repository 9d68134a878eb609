//! Callers that were looked up before. One is remembered while nothing changed of what made the caller who it is: the
//! database tells of changes a few times a second ([`super::watch`]). When nothing was heard for a moment nobody counts as
//! unchanged, and everybody is looked up as if there were no such telling: whoever lost a right is refused within a second.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use picket_store::rights::{Changed, RightsOf};

use super::Credential;
use crate::{Caller, Subject};

/// How old what is known may be: within a second every gateway refuses whoever lost a right.
const OLDEST: Duration = Duration::from_millis(800);
/// How long a caller is remembered at most, although nothing changed.
const LONGEST: Duration = Duration::from_secs(60);
/// The most callers that are remembered.
const MOST: usize = 10_000;

/// Callers that were looked up before, and keys that were good when they were looked up last.
#[derive(Default)]
pub(crate) struct Callers {
    known: Mutex<Known>,
    proven: Mutex<HashSet<[u8; 32]>>,
}

#[derive(Default)]
struct Known {
    callers: HashMap<Credential, Entry>,
    /// When the last question was sent whose answer told of changes.
    asked_at: Option<Instant>,
    /// How many answers there were.
    answers: u64,
}

struct Entry {
    found: Found,
    lookup: Lookup,
    /// Whether every change since the look-up comes in an answer that was not there when it began.
    is_watched: bool,
}

/// What was found of a credential.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) caller: Caller,
    /// When the credential ends by itself.
    pub(super) expires_at: Option<Timestamp>,
    /// When to look again although nothing changed: to note that it is still in use.
    pub(super) until: Timestamp,
}

/// When a look-up began. What changed later must not be missed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lookup {
    began_at: Instant,
    /// By the gateway's clock, which a sleeping machine does not stop.
    time: Timestamp,
    answers: u64,
}

impl Entry {
    fn is_good(&self, asked_at: Option<Instant>, time: Timestamp, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.lookup.began_at);
        let is_told = || {
            self.is_watched
                && asked_at.is_some_and(|at| now.saturating_duration_since(at) < OLDEST)
                && age < LONGEST
                && (self.lookup.time..self.found.until).contains(&time)
        };
        (age < OLDEST || is_told()) && self.found.expires_at.is_none_or(|at| time < at)
    }

    fn depends_on(&self, changed: &HashSet<RightsOf>) -> bool {
        let caller = &self.found.caller;
        let own = match caller.subject {
            Subject::User { session_id, home, .. } => [RightsOf::from(session_id), RightsOf::from(home)],
            Subject::ApiKey { id, .. } => [RightsOf::from(id), RightsOf::from(caller.organization_id)],
        };
        let all = own.into_iter().chain([caller.user_id().into(), caller.organization_id.into()]);
        all.into_iter().any(|one| changed.contains(&one))
    }
}

impl Callers {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everybody: something about somebody's rights changed here.
    pub(crate) fn forget(&self) {
        self.known().callers.clear();
    }

    /// Forgets whom changes concern. `asked_at` is from before the question was sent.
    pub(super) fn tell(&self, changed: &Changed, asked_at: Instant) {
        let mut known = self.known();
        match changed {
            Changed::Perhaps => known.callers.clear(),
            Changed::Of(all) if all.is_empty() => {}
            Changed::Of(all) => {
                let changed: HashSet<RightsOf> = all.iter().copied().collect();
                known.callers.retain(|_, entry| !entry.depends_on(&changed));
            }
        }
        known.asked_at = Some(asked_at);
        known.answers = known.answers.saturating_add(1);
    }

    pub(super) fn find(&self, credential: Credential, time: Timestamp, now: Instant) -> Option<Caller> {
        let known = self.known();
        let entry = known.callers.get(&credential).filter(|entry| entry.is_good(known.asked_at, time, now))?;
        Some(entry.found.caller.clone())
    }

    /// Marks the beginning of a look-up.
    pub(super) fn begin(&self, time: Timestamp, now: Instant) -> Lookup {
        Lookup { began_at: now, time, answers: self.known().answers }
    }

    /// Remembers what a look-up found. If an answer came meanwhile, it may have told of a change that the look-up did not see.
    pub(super) fn remember(&self, credential: Credential, found: Found, lookup: Lookup) {
        let mut known = self.known();
        if known.callers.len() >= MOST {
            known.callers.clear();
        }
        let is_watched = lookup.answers > 0 && lookup.answers == known.answers;
        known.callers.insert(credential, Entry { found, lookup, is_watched });
    }

    /// Whether anybody could have made this up: a token bears our signature, a key was good before or may be a stranger's.
    pub(super) fn is_strange(&self, credential: Credential) -> bool {
        match credential {
            Credential::Token(..) => false,
            Credential::Key(digest) => !self.proven.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest),
        }
    }

    /// Notes what the database said of a key.
    pub(super) fn prove(&self, digest: [u8; 32], is_good: bool) {
        let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_good {
            proven.remove(&digest);
            return;
        }
        if proven.len() >= MOST {
            proven.clear();
        }
        proven.insert(digest);
    }
}

#[cfg(test)]
mod tests;
