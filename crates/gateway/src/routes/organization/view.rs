//! What members see of their organization.

use jiff::Timestamp;
use picket_domain::{Severity, Subscription};
use picket_store::organizations::{Choices, Organization};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::routes::plans::PlanLimitsView;

/// An organization with its policy and limits.
#[derive(Serialize, ToSchema)]
pub(super) struct OrganizationDetailView {
    /// Identity.
    id: String,
    /// How it is called.
    name: String,
    /// What it pays for.
    #[schema(value_type = String, example = "trial")]
    plan: Subscription,
    limits: PlanLimitsView,
    /// When its trial ends; null for a plan that is none.
    #[schema(value_type = Option<String>, format = DateTime)]
    trial_ends_at: Option<Timestamp>,
    policy: PolicyView,
    sla_days: SlaView,
    branding: BrandingView,
    /// Since when it exists.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// What the organization demands of its members and keys.
#[derive(Serialize, ToSchema)]
struct PolicyView {
    /// Whether every session needs a second factor.
    require_mfa: bool,
    /// Where members and API keys may call from; empty means anywhere.
    allowed_ranges: Vec<String>,
    /// Days that results are kept; null for as long as the plan allows.
    retention_days: Option<i32>,
}

/// Days until a finding is to be repaired, by its severity.
#[derive(Serialize, ToSchema)]
struct SlaView {
    critical: u16,
    high: u16,
    medium: u16,
    low: u16,
    info: u16,
}

/// What reports look like when nothing else is asked for.
#[derive(Serialize, ToSchema)]
struct BrandingView {
    /// The name on the cover; null for the organization's.
    company_name: Option<String>,
    /// Where the logo is fetched from.
    logo_url: Option<String>,
}

impl OrganizationDetailView {
    pub(super) fn new(organization: Organization) -> Self {
        let choices = organization.choices;
        Self {
            id: organization.id.to_string(),
            plan: organization.subscription,
            limits: PlanLimitsView::new(organization.subscription),
            trial_ends_at: organization.trial_ends_at,
            sla_days: SlaView::new(&choices),
            name: choices.name,
            policy: PolicyView {
                require_mfa: choices.require_mfa,
                allowed_ranges: choices.allowed_ranges,
                retention_days: choices.retention_days,
            },
            branding: BrandingView { company_name: choices.branding.company_name, logo_url: choices.branding.logo_url },
            created_at: organization.created_at,
        }
    }
}

impl SlaView {
    fn new(choices: &Choices) -> Self {
        let days = |severity, usual| choices.sla_days.get(&severity).copied().unwrap_or(usual);
        Self {
            critical: days(Severity::Critical, 7),
            high: days(Severity::High, 30),
            medium: days(Severity::Medium, 90),
            low: days(Severity::Low, 180),
            info: days(Severity::Info, 365),
        }
    }
}

/// What members decided, for the audit log.
pub(super) fn snapshot(choices: &Choices) -> Value {
    json!({
        "name": choices.name,
        "require_mfa": choices.require_mfa,
        "allowed_ranges": choices.allowed_ranges,
        "retention_days": choices.retention_days,
        "sla_days": choices.sla_days,
        "branding": choices.branding,
    })
}
