//! Where a page of findings ends. Opaque to clients, and worth nothing to them: it holds the place of a finding of theirs,
//! and what stands behind that place is still looked for among the tenant's rows alone.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use picket_domain::{FindingId, Severity};
use picket_store::findings::list::FindingPlace;

/// Another kind of cursor would begin with another byte.
const KIND: u8 = 2;
/// The kind, the severity, the time and the id, as base64.
const LENGTH: usize = 55;

/// The cursor for the findings behind this one.
pub(super) fn write(place: FindingPlace) -> String {
    let severity = Severity::ALL.iter().position(|one| *one == place.severity);
    let severity = severity.and_then(|number| u8::try_from(number).ok()).unwrap_or(u8::MAX);
    let time = place.last_seen_at.as_microsecond().to_be_bytes();
    URL_SAFE_NO_PAD.encode([&[KIND, severity], time.as_slice(), place.id.to_string().as_bytes()].concat())
}

/// The place that a cursor names; `None` for what we never wrote.
pub(super) fn read(cursor: &str) -> Option<FindingPlace> {
    // Longer texts are not even decoded.
    let bytes = (cursor.len() == LENGTH).then(|| URL_SAFE_NO_PAD.decode(cursor).ok()).flatten()?;
    let (kind, rest) = bytes.split_first()?;
    let (severity, rest) = rest.split_first()?;
    let (time, id) = rest.split_at_checked(8)?;
    let severity = Severity::ALL.get(usize::from(*severity)).copied()?;
    let last_seen_at = Timestamp::from_microsecond(i64::from_be_bytes(time.try_into().ok()?)).ok()?;
    let id = str::from_utf8(id).ok()?.parse::<FindingId>().ok()?;
    (*kind == KIND).then_some(FindingPlace { severity, last_seen_at, id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
        let last_seen_at = Timestamp::from_microsecond(1_768_487_400_123_456).unwrap();
        let id = FindingId::mint(last_seen_at);
        for severity in Severity::ALL {
            let place = FindingPlace { severity, last_seen_at, id };
            assert_eq!(read(&write(place)), Some(place));
        }
        let of = |kind: u8, severity: u8, time: i64| {
            let bytes = [&[kind, severity], time.to_be_bytes().as_slice(), id.to_string().as_bytes()].concat();
            URL_SAFE_NO_PAD.encode(bytes)
        };
        assert!(read(&of(KIND, 0, 0)).is_some());
        for text in [of(1, 0, 0), of(KIND, 6, 0), of(KIND, 0, i64::MAX), String::new(), "A".repeat(4_000)] {
            assert_eq!(read(&text), None, "{text}");
        }
    }
}
