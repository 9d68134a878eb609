//! Where a page of the audit log ends. Opaque to clients, and worth nothing to them: it holds a sequence of their own log.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Another kind of cursor would begin with another byte.
const KIND: u8 = 1;

/// The cursor for the rows before this one.
pub(super) fn write(before: i64) -> String {
    URL_SAFE_NO_PAD.encode([&[KIND], before.to_be_bytes().as_slice()].concat())
}

/// The row that a cursor names; `None` for what we never wrote.
pub(super) fn read(cursor: &str) -> Option<i64> {
    // Longer texts are not even decoded.
    let bytes = (cursor.len() <= 16).then(|| URL_SAFE_NO_PAD.decode(cursor).ok()).flatten()?;
    let (kind, sequence) = bytes.split_first()?;
    let before = i64::from_be_bytes(sequence.try_into().ok()?);
    (*kind == KIND && before > 0).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
        for sequence in [1, 50, i64::MAX] {
            assert_eq!(read(&write(sequence)), Some(sequence));
        }
        for text in ["", "1", "AAAA", &write(0), &write(-1), &format!("{}A", write(7)), &"A".repeat(4_000)] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
