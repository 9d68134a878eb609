//! Passwords: argon2id on threads of its own, so many at a time. Somebody without an account waits exactly as long as
//! somebody with a wrong password.

mod threads;

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use secrecy::{ExposeSecret, SecretString};
use zxcvbn::{Score, zxcvbn};

use self::threads::Threads;
use crate::{FieldError, Problem};

/// Memory in KiB, passes and lanes (OWASP Password Storage Cheat Sheet, argon2id).
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// Characters of a password.
const SHORTEST: usize = 12;
const LONGEST: usize = 128;
/// Bytes of the longest password: a character is four at most.
const LONGEST_BYTES: usize = LONGEST * 4;
/// Characters whose strength is estimated at once: the time grows with their cube, and a password is as strong as its
/// strongest part at least.
const PART: usize = 32;
/// Words about the person that a password is not made of.
const MOST_WORDS: usize = 60;
/// Hashes and checks passwords; cheap to clone.
#[derive(Clone)]
pub(crate) struct Passwords {
    threads: Threads,
    /// The hash of nobody's password.
    dummy: Arc<str>,
}

impl Passwords {
    /// Works on so many passwords at a time.
    pub(crate) fn new(at_once: usize) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let dummy = hash(b"nobody's password").map_err(|error| error.to_string())?;
        Ok(Self { threads: Threads::start(at_once)?, dummy: dummy.into() })
    }

    /// What is wrong with a new password, if anything.
    pub(crate) fn check(field: &str, password: &SecretString) -> Option<FieldError> {
        let length = password.expose_secret().chars().count();
        let message = format!("expected {SHORTEST} to {LONGEST} characters");
        (!(SHORTEST..=LONGEST).contains(&length)).then(|| FieldError::new(field, "invalid_length", message))
    }

    /// The PHC string of a new password of `field`, unless it is a common one or made of what is `known` of the person.
    ///
    /// # Errors
    /// [`Problem::Invalid`] with the code `weak_password`, or [`Problem::Unavailable`] when too many wait.
    pub(crate) async fn hash_new(
        &self,
        field: &'static str,
        password: SecretString,
        known: &[&str],
    ) -> Result<String, Problem> {
        let words = words(known);
        let hashed = self.threads.run(move || {
            let is_strong = is_strong(password.expose_secret(), &words);
            is_strong.then(|| hash(password.expose_secret().as_bytes()))
        });
        match hashed.await? {
            Some(hash) => hash.map_err(Problem::internal),
            None => Err(Problem::field(
                field,
                "weak_password",
                "expected a password that is not easy to guess: no common one, no pattern, nothing of your name",
            )),
        }
    }

    /// Whether the password is the one of `known`; without one it takes as long and says no.
    pub(crate) async fn verify(&self, password: SecretString, known: Option<String>) -> Result<bool, Problem> {
        let is_known = known.is_some();
        let against = known.unwrap_or_else(|| self.dummy.to_string());
        // A password that nobody can have is checked all the same, cut to what is worth hashing.
        let fits = self
            .threads
            .run(move || {
                let whole = password.expose_secret().as_bytes();
                let bytes = whole.get(..LONGEST_BYTES).unwrap_or(whole);
                let hash = PasswordHash::new(&against).map_err(Problem::internal)?;
                let fits = argon2().map_err(Problem::internal)?.verify_password(bytes, &hash).is_ok();
                Ok::<_, Problem>(fits && whole.len() <= LONGEST_BYTES)
            })
            .await??;
        Ok(fits && is_known)
    }
}

fn argon2() -> Result<Argon2<'static>, argon2::password_hash::Error> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &[u8]) -> Result<String, argon2::password_hash::Error> {
    Ok(argon2()?.hash_password(password)?.to_string())
}

/// Whether guessing takes more than 10^8 guesses: the third of the estimate's four steps.
fn is_strong(password: &str, words: &[String]) -> bool {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let characters: Vec<char> = password.chars().collect();
    characters.chunks(PART).any(|part| zxcvbn(&part.iter().collect::<String>(), &words).score() >= Score::Three)
}

/// What is known of the person, as it is and in its words.
fn words(known: &[&str]) -> Vec<String> {
    let parts = known.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()).chain([*text]));
    parts.filter(|word| word.chars().count() > 2).take(MOST_WORDS).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const KNOWN: [&str; 3] = ["Ada Lovelace", "countess@example.com", "Analytical Engines"];

    #[tokio::test]
    async fn only_the_right_password_of_somebody_fits() {
        let passwords = Passwords::new(1).unwrap();
        let hash = passwords.hash_new("password", "correct horse battery".into(), &KNOWN).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(passwords.verify("correct horse battery".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct horse batterY".into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("nobody's password".into(), None).await.unwrap());
    }

    #[test]
    fn length_counts_characters_and_not_bytes() {
        let is_refused = |password: &str| Passwords::check("password", &password.into()).is_some();
        assert!(is_refused("elevenchars"));
        assert!(!is_refused("twelve chars"));
        assert!(!is_refused(&"密".repeat(128)));
        assert!(is_refused(&"x".repeat(129)));
    }

    #[tokio::test]
    async fn what_is_longer_than_any_password_fits_nothing() {
        let passwords = Passwords::new(1).unwrap();
        let longest = "密".repeat(127) + "🔑";
        let hash = hash(longest.as_bytes()).unwrap();
        assert!(passwords.verify(longest.clone().into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(format!("{longest} ").into(), Some(hash)).await.unwrap());
        let longest = "🔑".repeat(128);
        let hash = self::hash(longest.as_bytes()).unwrap();
        assert!(!passwords.verify(format!("{longest}x").into(), Some(hash)).await.unwrap());
    }

    #[test]
    fn common_passwords_patterns_and_names_are_weak() {
        let words = words(&KNOWN);
        for weak in [
            "password1234",
            "qwertyuiop12",
            "abcdefghijklmnop",
            "Passw0rd!2024",
            "lovelace1234",
            "CountessAda1",
            "analyticalengines",
            &"x".repeat(128),
            &"密".repeat(40),
            "iloveyou1234",
        ] {
            assert!(!is_strong(weak, &words), "{weak}");
        }
        for strong in
            ["correct horse battery staple", "correct horse battery", "vT7q-kz4RmeX", "密码学是一门很古老的艺术啊"]
        {
            assert!(is_strong(strong, &words), "{strong}");
        }
    }

    #[test]
    fn the_estimate_is_bounded_and_panics_at_no_text() {
        let begun = std::time::Instant::now();
        for hostile in [
            "4@8({[<3691!|0$5+7%2".repeat(6),
            "p4$$w0rd@1!3".repeat(10),
            "İẞΣςŉǰΐ".repeat(18),
            "a\u{301}\u{200d}\u{feff}".repeat(32),
            "\u{0}\u{7f}\u{10ffff}".repeat(42),
        ] {
            is_strong(&hostile, &words(&["İstanbul ẞ", &hostile]));
        }
        // Minutes, were it not bounded.
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        let mut state = 1_u64;
        for _ in 0..300 {
            let text: String = (0..20)
                .filter_map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    char::from_u32(u32::try_from(state >> 43).unwrap() % 0x11_0000)
                })
                .collect();
            is_strong(&text, &[text.to_uppercase()]);
        }
    }
}
