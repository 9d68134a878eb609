//! The token that proves a target: 160 random bits in lower case without look-alikes, since people copy it into DNS records
//! and pages. Only its digest is stored.

use rand::RngCore;
use secrecy::SecretString;

/// Crockford's alphabet in lower case: 5 bits a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Digits of 160 bits.
const DIGITS: usize = 32;

/// Makes a token.
pub(crate) fn generate() -> SecretString {
    let mut random = [0_u8; DIGITS];
    rand::rng().fill_bytes(&mut random);
    // Five bits of each byte: every digit is as likely as any other.
    let digit = |byte: &u8| char::from(ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or(b'0'));
    random.iter().map(digit).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn two_tokens_differ_and_have_160_bits() {
        let (one, other) = (generate(), generate());
        assert_ne!(one.expose_secret(), other.expose_secret());
        assert_eq!(one.expose_secret().len() * 5, 160);
        assert!(one.expose_secret().bytes().all(|byte| ALPHABET.contains(&byte)));
    }
}
