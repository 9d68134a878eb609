//! sslyze prints the modulus of an RSA key as one number of more than six hundred digits, which is no number for a JSON
//! reader. Nobody needs them: of a long run of digits outside of text only the first ones are let through.

use std::io::{self, BufRead, Read};

/// More digits than any number that means something to us.
const MAX_DIGITS: usize = 40;

/// A reader that shortens numbers.
pub(super) struct ShortNumbers<'r> {
    inner: &'r mut dyn BufRead,
    is_text: bool,
    is_escaped: bool,
    digits: usize,
}

impl<'r> ShortNumbers<'r> {
    pub(super) fn new(inner: &'r mut dyn BufRead) -> Self {
        Self { inner, is_text: false, is_escaped: false, digits: 0 }
    }

    /// Whether the byte is let through.
    fn keeps(&mut self, byte: u8) -> bool {
        let was_escaped = self.is_escaped;
        self.is_escaped = self.is_text && !was_escaped && byte == b'\\';
        if byte == b'"' && !was_escaped {
            self.is_text = !self.is_text;
        }
        self.digits = if !self.is_text && byte.is_ascii_digit() { self.digits.saturating_add(1) } else { 0 };
        self.digits <= MAX_DIGITS
    }
}

impl Read for ShortNumbers<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if target.is_empty() {
            return Ok(0);
        }
        loop {
            let available = self.inner.fill_buf()?;
            let available = available.get(..target.len()).unwrap_or(available).to_vec();
            if available.is_empty() {
                return Ok(0);
            }
            let (mut taken, mut kept) = (0_usize, 0_usize);
            for byte in available {
                let Some(place) = target.get_mut(kept) else { break };
                taken = taken.saturating_add(1);
                if self.keeps(byte) {
                    *place = byte;
                    kept = kept.saturating_add(1);
                }
            }
            self.inner.consume(taken);
            // A piece of nothing but digits is no end of the input.
            if kept > 0 {
                return Ok(kept);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn only_long_numbers_outside_of_text_are_shortened() {
        let (long, kept) = ("7".repeat(700), "7".repeat(MAX_DIGITS));
        let text = format!(r#"{{"n": {long}, "t": "{long}", "q\"": {long}, "e\\": {long}, "m": -12.5e3}}"#);
        let expected = format!(r#"{{"n": {kept}, "t": "{long}", "q\"": {kept}, "e\\": {kept}, "m": -12.5e3}}"#);
        for capacity in [1, 7, 64, 8192] {
            let mut read = String::new();
            ShortNumbers::new(&mut BufReader::with_capacity(capacity, text.as_bytes()))
                .read_to_string(&mut read)
                .unwrap();
            assert_eq!(read, expected, "{capacity}");
        }
    }
}
