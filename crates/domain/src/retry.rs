//! When a failed delivery is tried again. Pure: chance and time come from the caller, and no delay is ever shorter than
//! the schedule says.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};

/// Delays after the first, second, … failed attempt, in seconds: ten attempts over 75 h 35 min 5 s.
const DELIVERY_DELAYS_S: [u64; 9] =
    [5, 5 * 60, 30 * 60, 2 * 3_600, 5 * 3_600, 10 * 3_600, 14 * 3_600, 20 * 3_600, 24 * 3_600];

/// The same for letters: eight attempts over 1 h 57 min 40 s. A mail server that is away for longer is an outage that
/// somebody looks at, and most links have expired by then.
const MAIL_DELAYS_S: [u64; 7] = [10, 30, 2 * 60, 5 * 60, 15 * 60, 35 * 60, 60 * 60];

/// The longest that a receiver's `Retry-After` is obeyed.
const LONGEST_HINT: Duration = Duration::from_secs(6 * 3_600);

/// Jitter adds at most this part of the delay.
const JITTER_PERCENT: u128 = 20;

/// A random fraction from 0 (no jitter) to `u16::MAX` (all of it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jitter(pub u16);

/// When to try a delivery again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySchedule {
    delays_s: &'static [u64],
}

impl RetrySchedule {
    /// The schedule of webhooks.
    pub const DELIVERIES: Self = Self { delays_s: &DELIVERY_DELAYS_S };

    /// The schedule of letters.
    pub const MAILS: Self = Self { delays_s: &MAIL_DELAYS_S };

    /// Attempts in all, the first included.
    #[must_use]
    pub const fn attempts(self) -> usize {
        self.delays_s.len().saturating_add(1)
    }

    /// How long to wait after the `failures`-th failure (from 1); `None` when no attempt is left.
    ///
    /// `hint` is what the receiver asked for with 429 or 503; it can only lengthen the wait, to six hours at most.
    #[must_use]
    pub fn delay(self, failures: u32, jitter: Jitter, hint: Option<Duration>) -> Option<Duration> {
        let index = usize::try_from(failures).ok()?.saturating_sub(1);
        let base = Duration::from_secs(*self.delays_s.get(index)?);
        let extra_ms = base.as_millis() * JITTER_PERCENT * u128::from(jitter.0) / (100 * u128::from(u16::MAX));
        let planned = base + Duration::from_millis(u64::try_from(extra_ms).unwrap_or(u64::MAX));
        Some(planned.max(hint.map_or(Duration::ZERO, obeyed)))
    }
}

/// As much of a receiver's `Retry-After` as is obeyed.
pub(crate) fn obeyed(hint: Duration) -> Duration {
    hint.min(LONGEST_HINT)
}

/// Reads a `Retry-After` header: seconds, or an HTTP date (RFC 9110 §10.2.3). A date that has passed is no wait.
#[must_use]
pub fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.len() <= 10 && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.parse().ok().map(Duration::from_secs);
    }
    if value.len() > 40 {
        return None;
    }
    let moment = DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(moment.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCHEDULE: RetrySchedule = RetrySchedule::DELIVERIES;

    proptest! {
        #[test]
        fn a_retry_is_never_early_and_at_most_a_fifth_late(failures in 1_u32..=9, jitter: u16) {
            let base = SCHEDULE.delay(failures, Jitter(0), None).unwrap();
            let delay = SCHEDULE.delay(failures, Jitter(jitter), None).unwrap();
            prop_assert!(delay >= base && delay <= base.mul_f64(1.2));
        }

        #[test]
        fn a_hint_only_lengthens_the_wait_and_never_beyond_six_hours(failures in 1_u32..=9, jitter: u16, hint: u32) {
            let planned = SCHEDULE.delay(failures, Jitter(jitter), None).unwrap();
            let hinted = SCHEDULE.delay(failures, Jitter(jitter), Some(Duration::from_secs(hint.into()))).unwrap();
            prop_assert!(hinted >= planned && hinted <= planned.max(LONGEST_HINT));
        }

        #[test]
        fn any_retry_after_is_read_without_a_panic(value in "\\PC{0,60}") {
            let _ = parse_retry_after(&value, Timestamp::UNIX_EPOCH);
        }
    }

    #[test]
    fn ten_attempts_span_75_hours_and_35_minutes() {
        assert_eq!(SCHEDULE.attempts(), 10);
        let total: Duration = (1..=9).filter_map(|failures| SCHEDULE.delay(failures, Jitter(0), None)).sum();
        // The name rounds the five seconds off.
        assert_eq!(total, Duration::from_secs(75 * 3_600 + 35 * 60 + 5));
        assert_eq!(SCHEDULE.delay(10, Jitter(0), Some(LONGEST_HINT)), None);
    }

    #[test]
    fn eight_attempts_of_a_letter_span_two_hours() {
        assert_eq!(RetrySchedule::MAILS.attempts(), 8);
        let total: Duration =
            (1..=8).filter_map(|failures| RetrySchedule::MAILS.delay(failures, Jitter(0), None)).sum();
        assert_eq!(total, Duration::from_secs(3_600 + 57 * 60 + 40));
    }

    #[test]
    fn jitter_reaches_both_ends() {
        assert_eq!(SCHEDULE.delay(1, Jitter(0), None), Some(Duration::from_secs(5)));
        assert_eq!(SCHEDULE.delay(1, Jitter(u16::MAX), None), Some(Duration::from_secs(6)));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "1994-11-06T08:49:00Z".parse().unwrap();
        assert_eq!(parse_retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(37)));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:48:00 GMT", now), Some(Duration::ZERO));
        for nonsense in ["", "-1", "1.5", "soon", "99999999999"] {
            assert_eq!(parse_retry_after(nonsense, now), None, "{nonsense}");
        }
    }
}
