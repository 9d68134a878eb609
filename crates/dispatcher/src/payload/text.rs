//! Times and texts as payloads have them.

use jiff::Timestamp;

/// The most bytes that a long text may take in a body, escapes included.
const LONG_TEXT_BYTES: usize = 4_096;

/// `2026-01-15T14:45:00Z`, as both references print it.
pub(super) fn timestamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `15 minutes`, as the second reference prints it; `None` while one end is unknown.
pub(super) fn duration(started_at: Option<Timestamp>, ended_at: Option<Timestamp>) -> Option<String> {
    let seconds = ended_at?.duration_since(started_at?).as_secs().max(0);
    let unit = |count: i64, name: &str| format!("{count} {name}{}", if count == 1 { "" } else { "s" });
    Some(match seconds {
        0..60 => unit(seconds, "second"),
        60..3_600 => unit(seconds / 60, "minute"),
        _ if seconds / 60 % 60 == 0 => unit(seconds / 3_600, "hour"),
        _ => format!("{} {}", unit(seconds / 3_600, "hour"), unit(seconds / 60 % 60, "minute")),
    })
}

/// The beginning of a target's text, so long that its JSON form stays small whatever it is made of.
pub(super) fn bounded(text: &str) -> String {
    let mut bytes = 0_usize;
    let fits = |c: &char| {
        // A control character becomes six bytes in JSON, a quote two.
        bytes = bytes.saturating_add(if c.is_control() { 6 } else { c.len_utf8().max(2) });
        bytes <= LONG_TEXT_BYTES
    };
    let mut kept: String = text.chars().take_while(fits).collect();
    if kept.len() < text.len() {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bounded_text_stays_small_in_json(text in "(?s).{0,9000}") {
            let bounded = bounded(&text);
            prop_assert!(serde_json::to_string(&bounded).unwrap().len() <= LONG_TEXT_BYTES + 8);
            prop_assert!(text.starts_with(bounded.trim_end_matches('…')));
        }
    }

    #[test]
    fn durations_read_as_printed() {
        let at = |seconds| Timestamp::from_second(seconds).ok();
        for (seconds, text) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "1 minute"),
            (15 * 60 + 7, "15 minutes"),
            (3_600, "1 hour"),
            (2 * 3_600 + 60, "2 hours 1 minute"),
        ] {
            assert_eq!(duration(at(0), at(seconds)).as_deref(), Some(text));
        }
        assert_eq!(duration(None, at(1)), None);
        assert_eq!(duration(at(9), at(1)).as_deref(), Some("0 seconds"));
    }

    #[test]
    fn a_time_has_no_fraction() {
        assert_eq!(timestamp("2026-01-15T14:45:00.123456Z".parse().unwrap()), "2026-01-15T14:45:00Z");
    }
}
