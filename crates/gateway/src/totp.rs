//! Codes of authenticator apps (RFC 6238): SHA-1, six digits, steps of 30 seconds, since that is what every app knows.
//! Secrets leave this module sealed, or once as what the person puts into the app.

use jiff::Timestamp;
use picket_domain::UserId;
use picket_kit::Sealer;
use picket_store::mfa::factor;
use qrcode::{QrCode, render::svg};
use rand::RngCore;
use totp_rs::{Algorithm, Builder, Secret, Totp};
use zeroize::Zeroizing;

use crate::Problem;

/// What an app shows beside the account.
const ISSUER: &str = "Picket";
/// Digits of a code.
pub(crate) const DIGITS: usize = 6;
/// Bytes of a secret (RFC 4226 §4 recommends 160 bits).
const SECRET_BYTES: usize = 20;
/// Seconds of a step.
const STEP_SECONDS: u64 = 30;
/// Steps by which an app's clock may be off (RFC 6238 §5.2).
const SKEW: u16 = 1;
/// The side of the picture, in pixels, at least.
const PICTURE: u32 = 240;

/// The secret of an app; never printed.
pub(crate) struct TotpSecret(Zeroizing<Vec<u8>>);

/// What the person puts into the app.
pub(crate) struct Enrolment {
    /// The secret in base32, for who types it.
    pub secret: String,
    /// The same and all parameters, for who clicks it.
    pub uri: String,
    /// The URI as a QR code, for who scans it: SVG.
    pub picture: String,
}

impl TotpSecret {
    /// A new secret.
    pub(crate) fn generate() -> Self {
        let mut bytes = Zeroizing::new(vec![0_u8; SECRET_BYTES]);
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Opens a secret that is on.
    pub(crate) fn open(sealer: &Sealer, user: UserId, sealed: &[u8]) -> Result<Self, Problem> {
        sealer.open(sealed, &factor::secret_place(user)).map(Self).map_err(Problem::internal)
    }

    /// Opens a secret that no code has proven yet.
    pub(crate) fn open_pending(sealer: &Sealer, user: UserId, sealed: &[u8]) -> Result<Self, Problem> {
        sealer.open(sealed, &factor::pending_place(user)).map(Self).map_err(Problem::internal)
    }

    /// Seals it as one that is on.
    pub(crate) fn seal(&self, sealer: &Sealer, user: UserId) -> Result<Vec<u8>, Problem> {
        sealer.seal(&self.0, &factor::secret_place(user)).map_err(Problem::internal)
    }

    /// Seals it as one that no code has proven yet.
    pub(crate) fn seal_pending(&self, sealer: &Sealer, user: UserId) -> Result<Vec<u8>, Problem> {
        sealer.seal(&self.0, &factor::pending_place(user)).map_err(Problem::internal)
    }

    /// The step whose code this is, when it is the one of now or of a neighbour.
    pub(crate) fn step_of(&self, code: &str, now: Timestamp) -> Result<Option<i64>, Problem> {
        let seconds = u64::try_from(now.as_second()).map_err(Problem::internal)?;
        let step = self.totp("")?.check(code, seconds);
        step.map(i64::try_from).transpose().map_err(Problem::internal)
    }

    /// What the person puts into the app, for the account of this address.
    pub(crate) fn enrolment(&self, email: &str) -> Result<Enrolment, Problem> {
        // A colon would end the issuer (Key URI Format of Google Authenticator, "Label").
        let totp = self.totp(&email.replace(':', "_"))?;
        let uri = totp.to_url().map_err(Problem::internal)?;
        let picture = QrCode::new(&uri)
            .map_err(Problem::internal)?
            .render::<svg::Color<'_>>()
            .min_dimensions(PICTURE, PICTURE)
            .build();
        Ok(Enrolment { secret: totp.secret().to_base32(), uri, picture })
    }

    fn totp(&self, account: &str) -> Result<Totp, Problem> {
        Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_skew(SKEW)
            .with_step_duration(STEP_SECONDS)
            .with_secret(Secret::new(self.0.as_slice().into()))
            .with_issuer(Some(ISSUER))
            .with_account_name(account)
            .build()
            .map_err(Problem::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238 appendix B, SHA-1, the last six of eight digits.
    const VECTORS: [(i64, &str); 6] = [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ];

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_codes_are_those_of_the_standard_one_step_early_or_late_and_no_more() {
        let secret = TotpSecret(Zeroizing::new(b"12345678901234567890".to_vec()));
        for (second, code) in VECTORS {
            let step = second / 30;
            for off in [-1, 0, 1] {
                assert_eq!(secret.step_of(code, at(second + off * 30)).unwrap(), Some(step), "{code} {off}");
            }
            for off in [-2, 2] {
                let other = second + off * 30;
                assert!(other < 0 || secret.step_of(code, at(other)).unwrap().is_none(), "{code} {off}");
            }
        }
        for code in ["", "28708", "2870820", "+87082", "28708 ", "२८७०८२"] {
            assert_eq!(secret.step_of(code, at(59)).unwrap(), None, "{code}");
        }
    }

    #[test]
    fn an_enrolment_says_the_same_in_three_ways() {
        let secret = TotpSecret::generate();
        let enrolment = secret.enrolment("a:b@example.com").unwrap();
        assert_eq!(enrolment.secret.len(), 32);
        assert!(enrolment.uri.starts_with("otpauth://totp/Picket:a_b%40example.com?"), "{}", enrolment.uri);
        assert!(enrolment.uri.contains(&format!("secret={}", enrolment.secret)));
        assert!(enrolment.uri.contains("issuer=Picket"));
        assert!(enrolment.picture.contains("<svg"));
        let longest = format!("{}@example.com", "é".repeat(121));
        assert!(secret.enrolment(&longest).is_ok());
        assert_ne!(TotpSecret::generate().enrolment("a").unwrap().secret, enrolment.secret);
    }

    #[test]
    fn a_sealed_secret_opens_for_its_person_and_column_alone() {
        let sealer = Sealer::new(&Sealer::generate_key()).unwrap();
        let (ada, bob) = (UserId::mint(at(1)), UserId::mint(at(1)));
        let secret = TotpSecret::generate();
        let sealed = secret.seal(&sealer, ada).unwrap();
        assert_eq!(TotpSecret::open(&sealer, ada, &sealed).unwrap().0, secret.0);
        assert!(TotpSecret::open(&sealer, bob, &sealed).is_err());
        assert!(TotpSecret::open_pending(&sealer, ada, &sealed).is_err());
        let pending = secret.seal_pending(&sealer, ada).unwrap();
        assert!(TotpSecret::open(&sealer, ada, &pending).is_err());
        assert_eq!(TotpSecret::open_pending(&sealer, ada, &pending).unwrap().0, secret.0);
    }
}
