//! The same with the feature: `FAILPOINTS="worker::before_ack=2*off->1*return(kill)"` (the syntax of the crate `fail`).

use std::{collections::HashSet, sync::OnceLock};

use rustix::process::{Signal, getpid, kill_process};

use crate::{LOOPS, PLACES, TWINS};

/// What is asked for here, so that nobody waits for the registry at places that nobody named.
static NAMED: OnceLock<HashSet<String>> = OnceLock::new();

/// Reads `FAILPOINTS`, once. A name that is in no table ends the process: a test would test nothing.
///
/// # Panics
/// On a place that does not exist, and on a syntax that `fail` does not know.
pub fn arm() {
    let asked = std::env::vars().find_map(|(name, value)| (name == "FAILPOINTS").then_some(value)).unwrap_or_default();
    let named: HashSet<String> =
        asked.split(';').filter_map(|one| one.split_once('=')).map(|(name, _)| name.trim().to_owned()).collect();
    for name in &named {
        let is_known = [PLACES, LOOPS, TWINS].iter().any(|known| known.contains(&name.as_str()));
        assert!(is_known, "FAILPOINTS: expected a place of picket-faults, found `{name}`");
    }
    if NAMED.set(named).is_ok() && !asked.is_empty() {
        // Its end would take the places out again: they stand as long as the process.
        std::mem::forget(fail::FailScenario::setup());
    }
}

/// Ends this process where a test asked for it (`return(kill)`), without a farewell; stops it until somebody continues it
/// (`return(stop)`); holds it up with `sleep(ms)`.
pub fn point(place: &'static str) {
    let signal = match action(place).as_deref() {
        Some("kill") => Signal::KILL,
        Some("stop") => Signal::STOP,
        Some(_) | None => return,
    };
    eprintln!("failpoint: {signal:?} at {place}");
    // It cannot fail: everybody may signal himself.
    let _sent = kill_process(getpid(), signal);
}

/// Whether a test has taken this safeguard out (`return(out)`).
#[must_use]
pub fn without(twin: &'static str) -> bool {
    action(twin).is_some()
}

/// How many seconds a test has put this process's clock forward (`kit::clock=return(-30)`).
#[must_use]
pub fn skew_seconds() -> i64 {
    action("kit::clock").and_then(|seconds| seconds.parse().ok()).unwrap_or_default()
}

fn action(name: &'static str) -> Option<String> {
    if !NAMED.get().is_some_and(|named| named.contains(name)) {
        return None;
    }
    fail::fail_point!(name, |asked| Some(asked.unwrap_or_default()));
    None
}
