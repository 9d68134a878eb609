//! What clients send and see of second factors. Secrets are shown once, when they are made.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    FieldError, Problem,
    backup_code::BackupCode,
    factor::FactorCode,
    totp::{self, Enrolment},
};

/// A factor to put on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FactorSetup {
    /// The current password; a person without one must have signed in within the last ten minutes.
    #[schema(value_type = Option<String>, format = "password")]
    pub password: Option<SecretString>,
}

/// The first code of an app.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FactorProof {
    /// What the app shows.
    #[schema(value_type = String, example = "123456")]
    code: SecretString,
}

impl FactorProof {
    /// Names every fault; a backup code is one, there are none yet.
    pub(super) fn check(&self) -> Result<SecretString, Problem> {
        let wrong = || FieldError::new("code", "invalid_code", format!("expected {} digits", totp::DIGITS));
        match FactorCode::parse("code", &self.code) {
            Ok(FactorCode::Totp(code)) => Ok(code),
            Ok(FactorCode::Backup(_)) | Err(_) => Err(Problem::Invalid(vec![wrong()])),
        }
    }
}

/// The second step of a login.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FactorLogin {
    /// What the login gave.
    #[schema(value_type = String)]
    pub mfa_token: SecretString,
    /// What the app shows, or a backup code.
    #[schema(value_type = String, example = "123456")]
    code: SecretString,
    /// Whether the refresh token comes as the cookie `picket_refresh`, and not in the body.
    #[serde(default)]
    pub refresh_cookie: bool,
}

impl FactorLogin {
    /// Names every fault. The token has none: it is wrong like any other.
    pub(super) fn check(&self) -> Result<FactorCode, Problem> {
        FactorCode::parse("code", &self.code).map_err(|error| Problem::Invalid(vec![error]))
    }
}

/// Both factors, before something changes that protects the account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BothFactors {
    /// The current password; a person without one must have signed in within the last ten minutes.
    #[schema(value_type = Option<String>, format = "password")]
    pub password: Option<SecretString>,
    /// What the app shows, or a backup code.
    #[schema(value_type = String, example = "123456")]
    code: SecretString,
}

impl BothFactors {
    /// Names every fault.
    pub(super) fn check(&self) -> Result<FactorCode, Problem> {
        FactorCode::parse("code", &self.code).map_err(|error| Problem::Invalid(vec![error]))
    }
}

/// What goes into the app. It counts for nothing until a code proves it.
#[derive(Serialize, ToSchema)]
pub(super) struct FactorSetupView {
    /// The secret in base32, to type.
    #[schema(example = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")]
    secret: String,
    /// The same as a link.
    #[schema(example = "otpauth://totp/Picket:ada%40example.com?secret=…&issuer=Picket")]
    otpauth_uri: String,
    /// The link as a QR code: SVG.
    qr_svg: String,
}

impl FactorSetupView {
    pub(super) fn new(enrolment: Enrolment) -> Self {
        Self { secret: enrolment.secret, otpauth_uri: enrolment.uri, qr_svg: enrolment.picture }
    }
}

/// New backup codes.
#[derive(Serialize, ToSchema)]
pub(super) struct BackupCodesView {
    /// Ten codes, each good once. They cannot be shown again.
    #[schema(example = json!(["0123-4567-89ab-cdef"]))]
    backup_codes: Vec<String>,
}

impl BackupCodesView {
    pub(super) fn new(codes: Vec<BackupCode>) -> Self {
        Self { backup_codes: codes.into_iter().map(|code| code.text).collect() }
    }
}

/// The caller's second factor.
#[derive(Serialize, ToSchema)]
pub(super) struct FactorStatusView {
    /// Whether it is on.
    pub enabled: bool,
    /// Since when.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub enabled_at: Option<Timestamp>,
    /// Backup codes that were not used yet.
    pub backup_codes_left: i64,
    /// Whether an organization of the caller demands one.
    pub required_by_organization: bool,
}
