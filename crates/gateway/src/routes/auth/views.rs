//! What clients send and see of accounts. No view holds a password or its hash.

use jiff::{Timestamp, tz::TimeZone};
use picket_domain::{Dialect, Locale, Permission, Subscription};
use picket_store::accounts::{NewAccount, Profile};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::avatar;
use crate::{Caller, FieldError, Problem, passwords::Passwords};

/// The longest address (RFC 5321 §4.5.3.1.3, without the brackets).
const LONGEST_ADDRESS: usize = 254;
/// The longest name of a person or an organization, in characters.
const LONGEST_NAME: usize = 200;

/// A person who registers.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Registration {
    /// The address to sign in with.
    #[schema(format = "email", max_length = 254, example = "ada@example.com")]
    email: String,
    /// At least 12 characters, at most 128; no other rules.
    #[schema(value_type = String, format = "password", min_length = 12, max_length = 128)]
    password: SecretString,
    /// How the person is called; the address by default.
    #[schema(max_length = 200)]
    name: Option<String>,
    /// What the organization is called; the person's name by default.
    #[schema(max_length = 200)]
    organization: Option<String>,
    /// The language of letters: `en`, `zh` or `id`.
    #[schema(value_type = Option<String>, example = "en")]
    locale: Option<Locale>,
}

/// A registration without faults.
pub(super) struct CheckedRegistration {
    pub email: String,
    pub password: SecretString,
    pub name: String,
    pub organization: String,
    pub locale: Locale,
}

impl Registration {
    /// Names every fault.
    pub(super) fn check(self) -> Result<CheckedRegistration, Problem> {
        let email = self.email.trim().to_owned();
        let name = self.name.map_or_else(|| email.clone(), |name| name.trim().to_owned());
        let organization = self.organization.map_or_else(|| name.clone(), |name| name.trim().to_owned());
        let errors: Vec<FieldError> = [
            check_address("email", &email),
            Passwords::check("password", &self.password),
            check_name("name", &name),
            check_name("organization", &organization),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !errors.is_empty() {
            return Err(Problem::Invalid(errors));
        }
        let locale = self.locale.unwrap_or_default();
        Ok(CheckedRegistration { email, password: self.password, name, organization, locale })
    }
}

/// Only what no address lacks: whether it exists is known when mail arrives there.
pub(in crate::routes) fn check_address(field: &str, address: &str) -> Option<FieldError> {
    let is_plain = address.chars().all(|c| !c.is_whitespace() && !c.is_control());
    let has_parts = address.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'));
    let fits = is_plain && has_parts && address.len() <= LONGEST_ADDRESS;
    (!fits).then(|| FieldError::new(field, "invalid_email", "expected an e-mail address of at most 254 characters"))
}

pub(in crate::routes) fn check_name(field: &str, name: &str) -> Option<FieldError> {
    let fits = (1..=LONGEST_NAME).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    (!fits).then(|| FieldError::new(field, "invalid_name", "expected 1 to 200 characters without control characters"))
}

/// An address that a letter is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct AddressRequest {
    /// The address.
    #[schema(format = "email", max_length = 254, example = "ada@example.com")]
    email: String,
}

impl AddressRequest {
    /// The address, when it can be one.
    pub(in crate::routes) fn check(self) -> Result<String, Problem> {
        let email = self.email.trim().to_owned();
        check_address("email", &email).map_or(Ok(email), |error| Err(Problem::Invalid(vec![error])))
    }
}

/// What is told of a letter: nothing.
#[derive(Serialize, ToSchema)]
pub(in crate::routes) struct Mailed {
    /// Always `accepted`.
    status: &'static str,
}

impl Mailed {
    pub(in crate::routes) const fn new() -> Self {
        Self { status: "accepted" }
    }
}

/// What a person says of themselves.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileRequest {
    /// How the person is called.
    #[schema(max_length = 200)]
    name: Option<String>,
    /// The language of letters: `en`, `zh` or `id`.
    #[schema(value_type = Option<String>, example = "en")]
    locale: Option<Locale>,
    /// A name of the IANA time zone database.
    #[schema(max_length = 64, example = "Asia/Jakarta")]
    time_zone: Option<String>,
}

/// A change of the profile without faults; nothing is what stays.
pub(super) struct CheckedProfile {
    pub name: Option<String>,
    pub locale: Option<Locale>,
    pub time_zone: Option<String>,
}

impl ProfileRequest {
    /// Names every fault.
    pub(super) fn check(self) -> Result<CheckedProfile, Problem> {
        let name = self.name.map(|name| name.trim().to_owned());
        let time_zone = self.time_zone.as_deref().map(time_zone);
        let wrong_zone = matches!(time_zone, Some(None)).then(|| {
            let expected = "expected a name of the IANA time zone database, such as `Asia/Jakarta`";
            FieldError::new("time_zone", "invalid_time_zone", expected)
        });
        let errors: Vec<FieldError> =
            [name.as_deref().and_then(|name| check_name("name", name)), wrong_zone].into_iter().flatten().collect();
        if errors.is_empty() {
            Ok(CheckedProfile { name, locale: self.locale, time_zone: time_zone.flatten() })
        } else {
            Err(Problem::Invalid(errors))
        }
    }
}

/// The name of a time zone as the database spells it.
fn time_zone(name: &str) -> Option<String> {
    let is_plain = name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-/".contains(&byte));
    let zone = is_plain.then(|| TimeZone::get(name).ok()).flatten()?;
    zone.iana_name().map(ToOwned::to_owned)
}

/// Credentials of a person.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginRequest {
    /// The address.
    #[schema(format = "email")]
    pub email: String,
    /// The password.
    #[schema(value_type = String, format = "password")]
    pub password: SecretString,
    /// Whether the refresh token comes as the cookie `picket_refresh`, and not in the body.
    #[serde(default)]
    pub refresh_cookie: bool,
}

/// An organization.
#[derive(Serialize, ToSchema)]
pub(super) struct OrganizationView {
    /// Identity.
    id: String,
    /// Its name.
    name: String,
    /// What it pays for.
    #[schema(value_type = String, example = "trial")]
    plan: Subscription,
}

/// A person who has registered.
#[derive(Serialize, ToSchema)]
pub(super) struct AccountView {
    /// Identity.
    id: String,
    /// The address.
    email: String,
    /// The name.
    name: String,
    /// The organization that the person owns.
    organization: OrganizationView,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl AccountView {
    pub(super) fn new(account: &NewAccount<'_>, now: Timestamp) -> Self {
        Self {
            id: account.user_id.to_string(),
            email: account.email.to_owned(),
            name: account.name.to_owned(),
            organization: OrganizationView {
                id: account.organization_id.to_string(),
                name: account.organization_name.to_owned(),
                plan: account.subscription,
            },
            created_at: now,
        }
    }
}

/// The caller.
#[derive(Serialize, ToSchema)]
pub(super) struct ProfileView {
    /// Identity of the person.
    id: String,
    /// The address.
    email: String,
    /// The name.
    name: String,
    /// The language of letters.
    #[schema(value_type = String, example = "en")]
    locale: Locale,
    /// The IANA name of the time zone.
    #[schema(example = "UTC")]
    time_zone: String,
    /// Whether the address is proven.
    email_verified: bool,
    /// Whether a second factor is on.
    mfa_enabled: bool,
    /// Where the picture is; null without one.
    #[schema(example = "/api/v1/auth/avatar")]
    avatar_url: Option<&'static str>,
    /// The role in the organization.
    #[schema(example = "owner")]
    role: &'static str,
    /// The organization that the credentials are of.
    organization: OrganizationView,
    /// What the credentials may do.
    #[schema(value_type = Vec<String>, example = json!(["scans:read"]))]
    permissions: Vec<Permission>,
    /// When the person registered.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl ProfileView {
    pub(super) fn new(caller: &Caller, profile: Profile, dialect: Dialect) -> Self {
        Self {
            id: caller.user_id().to_string(),
            email: profile.email,
            name: profile.name,
            locale: profile.locale,
            time_zone: profile.time_zone,
            email_verified: profile.is_verified,
            mfa_enabled: profile.has_factor,
            avatar_url: profile.avatar.map(|_| avatar::path(dialect)),
            role: profile.member.role.name(),
            organization: OrganizationView {
                id: caller.organization_id.to_string(),
                name: profile.organization_name,
                plan: profile.member.subscription,
            },
            permissions: caller.permissions.iter().copied().collect(),
            created_at: profile.created_at,
        }
    }
}
