//! Output of tools that print what a server sent as it came: bytes that are no UTF-8 become the mark for what cannot be
//! read, so that one of them does not take the rest of a report with it.

use std::io::{self, BufRead, Read};

/// The mark, U+FFFD.
const MARK: &[u8] = "\u{fffd}".as_bytes();
/// Bytes of a character that may stand at the end of one piece and go on in the next.
const MAX_SPLIT: usize = 3;

/// A reader of nothing but UTF-8. It holds no more than one piece of what it reads.
pub(crate) struct Lossy<'a> {
    inner: &'a mut dyn BufRead,
    /// What was read and is UTF-8, from `start`.
    ready: Vec<u8>,
    start: usize,
    /// The beginning of a character whose end has not come yet.
    split: Vec<u8>,
}

impl<'a> Lossy<'a> {
    /// A reader of what `inner` gives.
    pub(crate) fn new(inner: &'a mut dyn BufRead) -> Self {
        Self { inner, ready: Vec::new(), start: 0, split: Vec::new() }
    }

    /// Takes the next piece; nothing is ready after it only at the end.
    fn refill(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.start = 0;
        while self.ready.is_empty() {
            let piece = self.inner.fill_buf()?;
            let count = piece.len();
            let is_end = piece.is_empty();
            let mut bytes = std::mem::take(&mut self.split);
            bytes.extend_from_slice(piece);
            self.inner.consume(count);
            self.take(&bytes, is_end);
            if is_end {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], is_end: bool) {
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.ready.extend_from_slice(chunk.valid().as_bytes());
            let invalid = chunk.invalid();
            if invalid.is_empty() {
                continue;
            }
            let may_go_on =
                !is_end && chunks.peek().is_none() && invalid.len() <= MAX_SPLIT && begins_character(invalid);
            if may_go_on {
                self.split = invalid.to_vec();
            } else {
                self.ready.extend_from_slice(MARK);
            }
        }
    }
}

/// Whether more bytes could make a character of these.
fn begins_character(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

impl Read for Lossy<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let taken = self.fill_buf()?.read(target)?;
        self.consume(taken);
        Ok(taken)
    }
}

impl BufRead for Lossy<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start >= self.ready.len() {
            self.refill()?;
        }
        Ok(self.ready.get(self.start..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.ready.len());
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_read_as_the_library_reads_them_whole(bytes: Vec<u8>, text: String, size in 1..9_usize) {
            let bytes = [text.as_bytes(), &bytes, text.as_bytes()].concat();
            let mut pieces = BufReader::with_capacity(size, bytes.as_slice());
            let mut read = String::new();
            Lossy::new(&mut pieces).read_to_string(&mut read).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
        }
    }
}
