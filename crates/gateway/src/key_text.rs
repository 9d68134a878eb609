//! The text of an API key: `pk_`, 160 random bits, and a checksum that tells a mistyped key without asking the database.

use rand::RngCore;
use secrecy::SecretString;
use sha2::{Digest, Sha256};

/// What a key begins with; tells it from an access token.
pub(crate) const PREFIX: &str = "pk_";
/// Crockford's alphabet in lower case.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Digits of 160 bits, and of a CRC-32.
const SECRET_DIGITS: usize = 32;
const CHECKSUM_DIGITS: usize = 7;
/// Characters that are kept to recognise a key by.
const SHOWN: usize = 9;

/// A new key, and what is stored of it.
pub(crate) struct NewKey {
    /// The key; shown once.
    pub secret: SecretString,
    /// Its first characters.
    pub prefix: String,
    /// Its SHA-256.
    pub digest: [u8; 32],
}

/// Makes a key.
pub(crate) fn generate() -> NewKey {
    let mut random = [0_u8; 20];
    rand::rng().fill_bytes(&mut random);
    let secret: String = random.chunks(5).map(|chunk| encode(number(chunk), 8)).collect();
    let text = format!("{PREFIX}{secret}{}", checksum(&secret));
    NewKey { prefix: text.chars().take(SHOWN).collect(), digest: digest(&text), secret: text.into() }
}

/// The digest to look a key up by; `None` for what cannot be a key.
pub(crate) fn parse(text: &str) -> Option<[u8; 32]> {
    let body = text.strip_prefix(PREFIX)?;
    let (secret, sum) = body.split_at_checked(SECRET_DIGITS)?;
    let is_key = secret.bytes().all(|byte| ALPHABET.contains(&byte)) && sum == checksum(secret);
    is_key.then(|| digest(text))
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn checksum(secret: &str) -> String {
    encode(u64::from(crc32fast::hash(secret.as_bytes())), CHECKSUM_DIGITS)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn encode(number: u64, digits: usize) -> String {
    (0..digits)
        .rev()
        .map(|place| {
            let digit = usize::try_from((number >> (place * 5)) & 31).unwrap_or_default();
            char::from(ALPHABET.get(digit).copied().unwrap_or(b'0'))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_key_is_recognised_and_a_mistyped_one_is_not() {
        let key = generate();
        let text = key.secret.expose_secret();
        assert_eq!(text.len(), PREFIX.len() + SECRET_DIGITS + CHECKSUM_DIGITS);
        assert!(text.starts_with(&key.prefix));
        assert_eq!(parse(text), Some(key.digest));
        for place in PREFIX.len()..text.len() {
            let mut wrong = text.to_owned().into_bytes();
            wrong[place] = if wrong[place] == b'0' { b'1' } else { b'0' };
            assert_eq!(parse(std::str::from_utf8(&wrong).unwrap()), None);
        }
    }

    #[test]
    fn rubbish_is_no_key() {
        for text in ["", "pk_", "pk_é", "PK_0", &format!("pk_{}", "é".repeat(40)), &format!("pk_{}", "0".repeat(40))]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn two_keys_differ() {
        assert_ne!(generate().digest, generate().digest);
    }
}
