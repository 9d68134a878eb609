//! What members may change of their organization. Allowed networks without the address of whoever asks are refused. Not so
//! the demand for a second factor: a session that has shown none can do nothing from then on but set one up.

use picket_domain::{Branding, ReportRequestError, Severity};
use picket_store::organizations::Choices;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{FieldError, Problem, RequestContext, body::Patch, ranges::Ranges, routes::auth::views::check_name};

/// Days that a service level may have.
const MOST_SLA_DAYS: u16 = 3_650;

/// A change of an organization; what is absent stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrganizationChange {
    /// How it is called.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    #[serde(default, deserialize_with = "crate::body::object")]
    policy: Option<PolicyChange>,
    #[serde(default, deserialize_with = "crate::body::object")]
    sla_days: Option<SlaChange>,
    #[serde(default, deserialize_with = "crate::body::object")]
    branding: Option<BrandingChange>,
}

/// A change of the policy.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PolicyChange {
    /// Whether every session needs a second factor.
    require_mfa: Option<bool>,
    /// Where members and API keys may call from: networks or addresses, 100 at most. None means anywhere. Your own address
    /// must be among them.
    #[schema(max_items = 100, example = json!(["192.0.2.0/24"]))]
    allowed_ranges: Option<Vec<String>>,
    /// Days that results are kept, no more than the plan allows; null for as many as that.
    #[serde(default)]
    #[schema(value_type = Option<i32>, minimum = 1)]
    retention_days: Patch<i32>,
}

/// Days until a finding is to be repaired, by its severity: 1 to 3,650; null for the usual ones.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SlaChange {
    #[serde(default)]
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 3650)]
    critical: Patch<u16>,
    #[serde(default)]
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 3650)]
    high: Patch<u16>,
    #[serde(default)]
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 3650)]
    medium: Patch<u16>,
    #[serde(default)]
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 3650)]
    low: Patch<u16>,
    #[serde(default)]
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 3650)]
    info: Patch<u16>,
}

/// A change of what reports look like when nothing else is asked for.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BrandingChange {
    /// The name on the cover; null for the organization's.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 100)]
    company_name: Patch<String>,
    /// A PNG or JPEG at a public https address; null for none.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 2048)]
    logo_url: Patch<String>,
}

/// A change without faults.
pub(super) struct CheckedChange {
    name: Option<String>,
    require_mfa: Option<bool>,
    allowed_ranges: Option<Vec<String>>,
    retention_days: Patch<i32>,
    sla_days: Vec<(Severity, Patch<u16>)>,
    branding: BrandingChange,
}

impl OrganizationChange {
    /// Whether it names the policy, which protects everything else.
    pub(super) const fn changes_policy(&self) -> bool {
        self.policy.is_some()
    }

    /// Names every fault; results are kept for so many days at most.
    pub(super) fn check(self, context: &RequestContext, most_days: u32) -> Result<CheckedChange, Problem> {
        let name = self.name.map(|name| name.trim().to_owned());
        let mut errors: Vec<FieldError> =
            name.as_deref().and_then(|name| check_name("name", name)).into_iter().collect();
        let policy = self.policy.unwrap_or_default();
        let allowed_ranges = policy.allowed_ranges.map(|texts| {
            check_ranges(&texts, context).unwrap_or_else(|faults| {
                errors.extend(faults);
                Vec::new()
            })
        });
        if let Patch::Set(days) = policy.retention_days
            && !(1..=i64::from(most_days)).contains(&i64::from(days))
        {
            errors.push(out_of_range("policy.retention_days".to_owned(), most_days));
        }
        let sla_days = self.sla_days.unwrap_or_default().by_severity();
        for (severity, days) in &sla_days {
            if matches!(days, Patch::Set(days) if !(1..=MOST_SLA_DAYS).contains(days)) {
                errors.push(out_of_range(format!("sla_days.{}", severity.name()), MOST_SLA_DAYS.into()));
            }
        }
        let mut branding = self.branding.unwrap_or_default();
        errors.extend(branding.check());
        if !errors.is_empty() {
            return Err(Problem::Invalid(errors));
        }
        let (require_mfa, retention_days) = (policy.require_mfa, policy.retention_days);
        Ok(CheckedChange { name, require_mfa, allowed_ranges, retention_days, sla_days, branding })
    }
}

impl CheckedChange {
    /// Makes the change.
    pub(super) fn apply(self, to: &mut Choices) {
        if let Some(name) = self.name {
            to.name = name;
        }
        if let Some(require_mfa) = self.require_mfa {
            to.require_mfa = require_mfa;
        }
        if let Some(ranges) = self.allowed_ranges {
            to.allowed_ranges = ranges;
        }
        self.retention_days.apply(&mut to.retention_days);
        for (severity, days) in self.sla_days {
            match days {
                Patch::Keep => {}
                Patch::Clear => drop(to.sla_days.remove(&severity)),
                Patch::Set(days) => drop(to.sla_days.insert(severity, days)),
            }
        }
        self.branding.company_name.apply(&mut to.branding.company_name);
        self.branding.logo_url.apply(&mut to.branding.logo_url);
    }
}

impl SlaChange {
    fn by_severity(self) -> Vec<(Severity, Patch<u16>)> {
        vec![
            (Severity::Critical, self.critical),
            (Severity::High, self.high),
            (Severity::Medium, self.medium),
            (Severity::Low, self.low),
            (Severity::Info, self.info),
        ]
    }
}

impl BrandingChange {
    /// Names every fault; what is none is left in the form that reports use.
    fn check(&mut self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Patch::Set(name) = &mut self.company_name {
            match Branding::parse(Some(name), None) {
                Ok(checked) => *name = checked.company_name.map(|name| name.as_str().to_owned()).unwrap_or_default(),
                Err(error) => errors.push(refused(error)),
            }
        }
        if let Patch::Set(url) = &mut self.logo_url {
            match Branding::parse(None, Some(url)) {
                Ok(checked) => *url = checked.logo_url.map(|url| url.to_string()).unwrap_or_default(),
                Err(error) => errors.push(refused(error)),
            }
        }
        errors
    }
}

fn check_ranges(texts: &[String], context: &RequestContext) -> Result<Vec<String>, Vec<FieldError>> {
    const FIELD: &str = "policy.allowed_ranges";
    let ranges = Ranges::parse(FIELD, texts)?;
    if ranges.allow(context.address) {
        return Ok(ranges.texts());
    }
    let message = format!("expected networks that hold your own address, {}", context.address);
    Err(vec![FieldError::new(FIELD, "would_lock_you_out", message)])
}

fn out_of_range(field: String, most: u32) -> FieldError {
    FieldError::new(field, "out_of_range", format!("expected 1 to {most} days"))
}

fn refused(error: ReportRequestError) -> FieldError {
    let field = error.field().replacen("custom_branding", "branding", 1);
    FieldError::new(field, "invalid_value", error.to_string())
}
