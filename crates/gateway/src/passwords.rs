//! Passwords: argon2id on threads of its own, so many at a time. Somebody without an account waits exactly as long as
//! somebody with a wrong password.

use std::{sync::Arc, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::{FieldError, Problem};

/// Memory in KiB, passes and lanes (OWASP Password Storage Cheat Sheet, argon2id).
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// Characters of a password.
const SHORTEST: usize = 12;
const LONGEST: usize = 128;
/// How long one waits for a free thread.
const PATIENCE: Duration = Duration::from_secs(10);

/// Hashes and checks passwords; cheap to clone.
#[derive(Clone)]
pub(crate) struct Passwords {
    free: Arc<Semaphore>,
    /// The hash of nobody's password.
    dummy: Arc<str>,
}

impl Passwords {
    /// Works on so many passwords at a time.
    pub(crate) fn new(at_once: usize) -> Result<Self, argon2::password_hash::Error> {
        let dummy = hash(b"nobody's password")?;
        Ok(Self { free: Arc::new(Semaphore::new(at_once.max(1))), dummy: dummy.into() })
    }

    /// What is wrong with a new password, if anything.
    pub(crate) fn check(field: &str, password: &SecretString) -> Option<FieldError> {
        let length = password.expose_secret().chars().count();
        let message = format!("expected {SHORTEST} to {LONGEST} characters");
        (!(SHORTEST..=LONGEST).contains(&length)).then(|| FieldError::new(field, "invalid_length", message))
    }

    /// The PHC string of a password.
    pub(crate) async fn hash(&self, password: SecretString) -> Result<String, Problem> {
        self.run(move || hash(password.expose_secret().as_bytes())).await?.map_err(Problem::internal)
    }

    /// Whether the password is the one of `known`; without one it takes as long and says no.
    pub(crate) async fn verify(&self, password: SecretString, known: Option<String>) -> Result<bool, Problem> {
        let is_known = known.is_some();
        let against = known.unwrap_or_else(|| self.dummy.to_string());
        // A password that nobody can have is checked all the same, cut to what is worth hashing.
        let fits = self
            .run(move || {
                let bytes = password.expose_secret().as_bytes();
                let bytes = bytes.get(..LONGEST.saturating_mul(4)).unwrap_or(bytes);
                let hash = PasswordHash::new(&against).map_err(Problem::internal)?;
                Ok::<_, Problem>(argon2().map_err(Problem::internal)?.verify_password(bytes, &hash).is_ok())
            })
            .await??;
        Ok(fits && is_known)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let permit = tokio::time::timeout(PATIENCE, self.free.clone().acquire_owned())
            .await
            .map_err(|waited| Problem::Unavailable(Box::new(waited)))?
            .map_err(Problem::internal)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        done.await.map_err(Problem::internal)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_somebody_fits() {
        let passwords = Passwords::new(1).unwrap();
        let hash = passwords.hash("correct horse battery".into()).await.unwrap();
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
}
