//! Judges what is shown as a second factor: a code of the app, or a backup code. Each is good once. Wrong codes of the app
//! are counted per person over all logins and sessions, so that nobody who knows the password can guess for ever; backup
//! codes cannot be guessed, and are good while the app's codes rest.
//!
//! A refusal is no error: what it counted must be committed. So transactions return it as a value.

use jiff::{SignedDuration, Timestamp};
use picket_domain::UserId;
use picket_store::{
    Tx,
    mfa::{
        backup,
        factor::{self, FactorOwner},
    },
};
use secrecy::{ExposeSecret, SecretString};

use crate::{App, FieldError, Problem, backup_code, totp, totp::TotpSecret};

/// Wrong codes of the app that one person may show in [`WINDOW`].
const MOST_FAILURES: usize = 10;
/// How long a wrong code counts.
const WINDOW: SignedDuration = SignedDuration::from_mins(15);
/// Bytes of a code with all its dashes and spaces, at most.
const LONGEST: usize = 64;

/// What somebody shows; never printed.
pub(crate) enum FactorCode {
    /// Of the app.
    Totp(SecretString),
    /// The digest of a backup code.
    Backup([u8; 32]),
}

/// Why a factor was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It does not fit.
    Wrong,
    /// Too many did not fit; nothing was looked at.
    Limited {
        /// Seconds after which one is looked at again.
        retry_after: u64,
    },
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Wrong => Self::WrongFactor,
            Refusal::Limited { retry_after } => Self::RateLimited { retry_after },
        }
    }
}

impl FactorCode {
    /// Reads a code, with the dashes and spaces that people put in.
    pub(crate) fn parse(field: &str, text: &SecretString) -> Result<Self, FieldError> {
        let wrong = || FieldError::new(field, "invalid_code", "expected six digits, or a backup code");
        let text = text.expose_secret();
        if text.len() > LONGEST {
            return Err(wrong());
        }
        let bare: String = text.chars().filter(|letter| !matches!(letter, ' ' | '-')).collect();
        if bare.len() == totp::DIGITS && bare.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::Totp(bare.into()));
        }
        backup_code::parse(&bare).map(Self::Backup).ok_or_else(wrong)
    }
}

/// Whether the code proves the person, who was locked in this transaction; uses the code up.
pub(crate) async fn judge(
    app: &App,
    tx: &Tx<'_>,
    user: UserId,
    owner: &FactorOwner,
    code: &FactorCode,
) -> Result<Result<(), Refusal>, Problem> {
    let Some(sealed) = &owner.secret else { return Ok(Err(Refusal::Wrong)) };
    let fits = match code {
        FactorCode::Backup(digest) => backup::spend(tx, user, digest, app.clock.now()).await?,
        FactorCode::Totp(code) => {
            let secret = TotpSecret::open(&app.sealer, user, sealed)?;
            let step = match step_of(app, tx, user, owner, &secret, code).await? {
                Ok(step) => step,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let is_new = factor::accept(tx, user, step).await?;
            if !is_new {
                fail(app, tx, user, owner).await?;
            }
            is_new
        }
    };
    Ok(if fits { Ok(()) } else { Err(Refusal::Wrong) })
}

/// The step whose code this is by the secret; counts a wrong one.
pub(crate) async fn step_of(
    app: &App,
    tx: &Tx<'_>,
    user: UserId,
    owner: &FactorOwner,
    secret: &TotpSecret,
    code: &SecretString,
) -> Result<Result<i64, Refusal>, Problem> {
    let now = app.clock.now();
    if let Some(retry_after) = rest(&recent(&owner.failures, now), now) {
        return Ok(Err(Refusal::Limited { retry_after }));
    }
    let step = secret.step_of(code.expose_secret(), now)?;
    if step.is_none() {
        fail(app, tx, user, owner).await?;
    }
    Ok(step.ok_or(Refusal::Wrong))
}

/// Counts a wrong code.
async fn fail(app: &App, tx: &Tx<'_>, user: UserId, owner: &FactorOwner) -> Result<(), Problem> {
    let now = app.clock.now();
    let mut failures = recent(&owner.failures, now);
    failures.push(now);
    Ok(factor::fail(tx, user, &failures).await?)
}

/// The failures that still count.
fn recent(failures: &[Timestamp], now: Timestamp) -> Vec<Timestamp> {
    failures.iter().copied().filter(|at| now.duration_since(*at) < WINDOW).collect()
}

/// Seconds until a code is looked at again, when there were too many.
fn rest(failures: &[Timestamp], now: Timestamp) -> Option<u64> {
    if failures.len() < MOST_FAILURES {
        return None;
    }
    let oldest = failures.iter().min()?;
    let rest = WINDOW.saturating_sub(now.duration_since(*oldest));
    // Up to the next whole second: a little later is never too early.
    Some(u64::try_from(rest.as_secs()).unwrap_or_default().saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_with_dashes_and_spaces() {
        let read = |text: &str| FactorCode::parse("code", &text.into());
        for text in ["123456", "123 456", " 123-456 "] {
            assert!(matches!(read(text), Ok(FactorCode::Totp(code)) if code.expose_secret() == "123456"), "{text}");
        }
        for text in ["0123-4567-89ab-cdef", "O123 4567 89AB CDEF"] {
            assert!(matches!(read(text), Ok(FactorCode::Backup(_))), "{text}");
        }
        for text in ["", "12345", "1234567", "१२३४५६", &" ".repeat(65), "0123-4567-89ab-cdeu"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ten_wrong_codes_rest_until_the_oldest_is_a_quarter_of_an_hour_old() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let failures: Vec<_> = (0..10).map(at).collect();
        assert_eq!(rest(&recent(&failures[1..], at(10)), at(10)), None);
        assert_eq!(rest(&recent(&failures, at(10)), at(10)), Some(891));
        assert!(rest(&recent(&failures, at(899)), at(899)).is_some());
        assert_eq!(rest(&recent(&failures, at(900)), at(900)), None);
    }
}
