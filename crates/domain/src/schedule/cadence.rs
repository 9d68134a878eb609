//! The ticks of a schedule: a pattern of cron in a time zone, each tick moved by a jitter of its own.
//!
//! Patterns and days on which the clock changes are croner's: a fixed time that does not exist on such a day is the first
//! moment behind the gap, one that comes twice is its first; patterns of intervals go by elapsed time.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use sha2::{Digest, Sha256};

use crate::ScheduleId;

/// The longest pattern, in bytes.
const LONGEST: usize = 120;
/// The longest name of a time zone, in bytes.
const LONGEST_ZONE: usize = 64;
/// How many ticks are looked at to see whether the jitter keeps them in order.
const LOOKED_AT: usize = 64;

/// When something is done.
#[derive(Debug, Clone)]
pub struct Cadence {
    cron: Cron,
    zone: TimeZone,
    jitter_seconds: u32,
}

/// A moment at which something is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// The moment that the pattern means: the tick's identity.
    pub at: Timestamp,
    /// The same, moved by the jitter.
    pub run_at: Timestamp,
}

/// A cadence that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CadenceError {
    /// Not a pattern.
    #[error("expected five fields of cron (minute, hour, day of month, month, day of week), such as `30 2 * * 1-5`")]
    Pattern,
    /// A pattern that no moment fits.
    #[error("expected a pattern that some moment fits")]
    Never,
    /// Not a time zone.
    #[error("expected the name of a time zone, such as `Europe/Berlin`")]
    Zone,
    /// A jitter that could bring ticks out of their order.
    #[error("expected at most {most} seconds, less than there are between two ticks")]
    Jitter {
        /// The largest jitter that the pattern allows.
        most: u32,
    },
}

impl CadenceError {
    /// The field of a schedule that is wrong.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Pattern | Self::Never => "cron",
            Self::Zone => "time_zone",
            Self::Jitter { .. } => "jitter_seconds",
        }
    }
}

impl Cadence {
    /// The largest jitter, in seconds.
    pub const MOST_JITTER: u32 = 3_600;

    /// Reads a cadence; `now` is where ticks are looked for.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(cron: &str, zone: &str, jitter_seconds: u32, now: Timestamp) -> Result<Self, CadenceError> {
        let cadence = Self::kept(cron, zone, jitter_seconds)?;
        let mut at = cadence.tick_after(now).ok_or(CadenceError::Never)?;
        let mut most = Self::MOST_JITTER;
        for _ in 0..LOOKED_AT {
            let Some(next) = cadence.tick_after(at) else { break };
            let between = next.duration_since(at).as_secs().saturating_sub(1);
            most = most.min(u32::try_from(between).unwrap_or(Self::MOST_JITTER));
            at = next;
        }
        if jitter_seconds > most { Err(CadenceError::Jitter { most }) } else { Ok(cadence) }
    }

    /// Reads a cadence that was accepted before. Whether the jitter fits is not asked again: ticks come closer on days on
    /// which the clock changes.
    ///
    /// # Errors
    /// When it cannot be read any more: the database of zones may have changed.
    pub fn kept(cron: &str, zone: &str, jitter_seconds: u32) -> Result<Self, CadenceError> {
        Ok(Self { cron: pattern(cron)?, zone: time_zone(zone)?, jitter_seconds })
    }

    /// The name of the zone, as the database of zones spells it.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The first tick behind a moment; `None` when there is none.
    #[must_use]
    pub fn after(&self, id: ScheduleId, moment: Timestamp) -> Option<Tick> {
        self.tick_after(moment).map(|at| self.moved(id, at))
    }

    /// The last tick that is due by `now`, when `first` is.
    #[must_use]
    pub fn latest(&self, id: ScheduleId, first: Timestamp, now: Timestamp) -> Tick {
        let mut found = self.tick_before(now, true);
        while let Some(at) = found.filter(|at| *at > first) {
            let tick = self.moved(id, at);
            if tick.run_at <= now {
                return tick;
            }
            found = self.tick_before(at, false);
        }
        self.moved(id, first)
    }

    /// The same for every steward, and spread over schedules of one pattern.
    fn moved(&self, id: ScheduleId, at: Timestamp) -> Tick {
        let hash =
            Sha256::new().chain_update(id.uuid().as_bytes()).chain_update(at.as_second().to_be_bytes()).finalize();
        let bytes = hash.iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        let seconds = bytes % u64::from(self.jitter_seconds).saturating_add(1);
        let by = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or_default());
        Tick { at, run_at: at.saturating_add(by).unwrap_or(at) }
    }

    fn tick_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let from = moment.to_zoned(self.zone.clone());
        self.cron.find_next_occurrence(&from, false).ok().map(|found| found.timestamp())
    }

    fn tick_before(&self, moment: Timestamp, inclusive: bool) -> Option<Timestamp> {
        let from = moment.to_zoned(self.zone.clone());
        self.cron.find_previous_occurrence(&from, inclusive).ok().map(|found| found.timestamp())
    }
}

fn pattern(text: &str) -> Result<Cron, CadenceError> {
    let is_plain = text.len() <= LONGEST && text.split_ascii_whitespace().count() == 5 && !text.contains('@');
    if !is_plain {
        return Err(CadenceError::Pattern);
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(text).map_err(|_| CadenceError::Pattern)
}

/// The zone of that name.
pub(crate) fn time_zone(name: &str) -> Result<TimeZone, CadenceError> {
    let is_plain =
        name.len() <= LONGEST_ZONE && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-/".contains(&byte));
    let zone = is_plain.then(|| TimeZone::get(name).ok()).flatten();
    zone.filter(|zone| zone.iana_name().is_some()).ok_or(CadenceError::Zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn id(number: u128) -> ScheduleId {
        ScheduleId::from_uuid(uuid::Uuid::from_u128(number))
    }

    /// The first ticks behind a moment.
    fn ticks(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let cadence = Cadence::parse(cron, zone, 0, at(after)).unwrap();
        let first = cadence.after(id(1), at(after));
        let next = |tick: &Tick| cadence.after(id(1), tick.at);
        std::iter::successors(first, next).take(count).map(|tick| tick.at.to_string()).collect()
    }

    #[test]
    fn a_time_that_the_clock_leaps_over_is_the_moment_behind_it_and_runs_once() {
        // In Berlin 02:00 becomes 03:00 at 01:00 UTC on 2026-03-29.
        let found = ticks("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 3);
        assert_eq!(found, ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    }

    #[test]
    fn a_time_that_comes_twice_runs_once_and_intervals_go_by_elapsed_time() {
        // In Berlin 03:00 becomes 02:00 at 01:00 UTC on 2026-10-25.
        let daily = ticks("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
        assert_eq!(daily, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
        let hourly = ticks("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 4);
        let expected = ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z", "2026-10-25T03:00:00Z"];
        assert_eq!(hourly, expected);
    }

    #[test]
    fn every_tick_that_comes_next_is_the_last_one_a_moment_later() {
        for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"] {
            for cron in ["30 2 * * *", "*/20 * * * *", "15 1,2 * * *", "0 0 1 * *"] {
                for begin in
                    ["2026-03-28T20:00:00Z", "2026-10-24T20:00:00Z", "2026-04-04T10:00:00Z", "2026-11-01T03:00:00Z"]
                {
                    let cadence = Cadence::parse(cron, zone, 0, at(begin)).unwrap();
                    let (mut from, first) = (at(begin), cadence.after(id(1), at(begin)).unwrap());
                    for _ in 0..60 {
                        let tick = cadence.after(id(1), from).unwrap();
                        assert!(tick.at > from, "{cron} {zone} {from}");
                        assert_eq!(cadence.latest(id(1), first.at, tick.at), tick, "{cron} {zone} {from}");
                        from = tick.at;
                    }
                }
            }
        }
    }

    #[test]
    fn jitter_is_the_same_each_time_stays_below_its_bound_and_differs_between_schedules() {
        let cadence = Cadence::parse("0 * * * *", "UTC", 600, at("2026-01-15T14:30:00Z")).unwrap();
        let moved: Vec<_> = (0..50)
            .map(|number| cadence.after(id(number), at("2026-01-15T14:30:00Z")).unwrap())
            .map(|tick| tick.run_at.duration_since(tick.at).as_secs())
            .collect();
        assert!(moved.iter().all(|seconds| (0..=600).contains(seconds)));
        assert!(moved.iter().collect::<std::collections::BTreeSet<_>>().len() > 30, "{moved:?}");
        let again = cadence.after(id(7), at("2026-01-15T14:59:59Z")).unwrap();
        assert_eq!(again, cadence.after(id(7), at("2026-01-15T14:00:00Z")).unwrap());
    }

    #[test]
    fn a_tick_whose_jitter_has_not_passed_is_not_due() {
        let now = at("2026-01-15T14:30:00Z");
        let cadence = Cadence::parse("0 * * * *", "UTC", 3_500, now).unwrap();
        let first = cadence.after(id(1), now).unwrap();
        let second = cadence.after(id(1), first.at).unwrap();
        let before = second.run_at.saturating_sub(SignedDuration::from_secs(1)).unwrap();
        assert_eq!(cadence.latest(id(1), first.at, before), first);
        assert_eq!(cadence.latest(id(1), first.at, second.run_at), second);
    }

    #[test]
    fn what_is_no_cadence_names_its_field() {
        let now = at("2026-01-15T14:30:00Z");
        let field =
            |cron: &str, zone: &str, jitter| Cadence::parse(cron, zone, jitter, now).map(|_| "").map_err(|e| e.field());
        for cron in ["", "* * * *", "* * * * * *", "60 * * * *", "@daily", "@reboot", "a b c d e", "0 0 30 2 *"] {
            assert_eq!(field(cron, "UTC", 0), Err("cron"), "{cron}");
        }
        assert_eq!(field(&"1,".repeat(200), "UTC", 0), Err("cron"));
        for zone in ["", "Nowhere/Land", "../../etc/passwd", "Europe/Berlin\n", "+02:00"] {
            assert_eq!(field("0 0 * * *", zone, 0), Err("time_zone"), "{zone}");
        }
        assert_eq!(field("* * * * *", "UTC", 60), Err("jitter_seconds"));
        assert_eq!(field("* * * * *", "UTC", 59), Ok(""));
        assert_eq!(field("0 0 * * *", "UTC", 3_601), Err("jitter_seconds"));
    }
}
