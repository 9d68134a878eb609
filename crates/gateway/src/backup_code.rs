//! Backup codes: 80 random bits each, written so that a person can copy them from paper. Only the SHA-256 of a code is
//! stored; it needs no slow hash, since nobody can try 2^80 codes.

use rand::RngCore;
use sha2::{Digest, Sha256};

/// How many a person gets at a time.
const SET: usize = 10;
/// Digits of a code, of 5 bits each.
const DIGITS: usize = 16;
/// Digits between two dashes.
const GROUP: usize = 4;
/// Crockford's alphabet in lower case: no `i`, `l`, `o`, `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A code, and what is stored of it; the code is shown once and never printed.
pub(crate) struct BackupCode {
    /// As it is shown: `xxxx-xxxx-xxxx-xxxx`.
    pub text: String,
    /// The SHA-256 of its digits.
    pub digest: [u8; 32],
}

/// A new set.
pub(crate) fn generate() -> Vec<BackupCode> {
    std::iter::repeat_with(one).take(SET).collect()
}

fn one() -> BackupCode {
    let mut random = [0_u8; DIGITS];
    rand::rng().fill_bytes(&mut random);
    let digits: Vec<char> = random.iter().map(|byte| digit(*byte)).collect();
    let groups: Vec<String> = digits.chunks(GROUP).map(|group| group.iter().collect()).collect();
    BackupCode { text: groups.join("-"), digest: digest(&groups.concat()) }
}

/// The lower five bits as a digit.
fn digit(byte: u8) -> char {
    char::from(ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or(b'0'))
}

/// The digest of a code that has no dashes and spaces any more; `None` for what cannot be one.
pub(crate) fn parse(bare: &str) -> Option<[u8; 32]> {
    let digits: String = bare.chars().map(read).collect();
    let is_code = digits.len() == DIGITS && digits.bytes().all(|byte| ALPHABET.contains(&byte));
    is_code.then(|| digest(&digits))
}

/// What a person means by a letter (Crockford's base32).
fn read(letter: char) -> char {
    match letter.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        other => other,
    }
}

fn digest(digits: &str) -> [u8; 32] {
    Sha256::digest(digits.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_code_is_read_as_people_write_it() {
        for code in generate() {
            assert_eq!(code.text.len(), 19);
            let bare = code.text.replace('-', "");
            assert_eq!(parse(&bare), Some(code.digest));
            assert_eq!(parse(&bare.to_uppercase()), Some(code.digest));
            assert_eq!(parse(&bare.replace('0', "O").replace('1', "l")), Some(code.digest));
        }
    }

    #[test]
    fn ten_codes_differ_and_rubbish_is_none() {
        let digests: HashSet<_> = generate().into_iter().map(|code| code.digest).collect();
        assert_eq!(digests.len(), 10);
        for text in ["", "123456", "000000000000000", "00000000000000000", "000000000000000u", "éééééééé"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
