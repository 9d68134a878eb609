//! `/plans`: what can be paid for, and its limits. Knows no number: the table is the domain's.

use actix_web::{get, web::Json};
use picket_domain::Subscription;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list_plans);
}

/// All plans.
#[derive(Debug, Serialize, ToSchema)]
struct PlansView {
    /// The plans, smallest first.
    data: Vec<PlanView>,
}

/// A plan.
#[derive(Debug, Serialize, ToSchema)]
struct PlanView {
    /// The name that other answers use.
    #[schema(example = "starter")]
    id: &'static str,
    /// What an organization has with it.
    limits: PlanLimitsView,
}

/// What an organization has with a plan.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanLimitsView {
    /// How often the API may be called.
    rate_limits: RateLimitsView,
    /// Scans that have not ended, at one time.
    concurrent_scans: u32,
    /// Runs of tools at one time, over all scans.
    concurrent_tasks: u32,
    /// Addresses in one scan.
    addresses_per_scan: u32,
    /// Hosts × ports in one scan, over all its runs.
    hosts_times_ports_per_scan: u64,
    /// Bytes of one report of a tool that is imported; the operator may allow less.
    import_bytes: u64,
    /// Reports that are waiting or being rendered, at one time.
    concurrent_reports: u32,
    /// Reports in 24 hours.
    reports_per_day: u32,
    /// Targets that are kept at one time.
    targets: u32,
    /// Tasks of one scan, with those that grow from its results.
    tasks_per_scan: u32,
    /// Saved profiles of scans at one time.
    scan_profiles: u32,
    /// Webhooks at one time.
    webhooks: u32,
    /// API keys at one time.
    api_keys: u32,
    /// The most days that results are kept.
    retention_days: u32,
    /// The most days that the raw output of tools is kept.
    raw_output_days: u32,
    /// Live streams at one gateway, at one time.
    live_streams: u32,
}

/// How often the API may be called; the versions count apart.
#[derive(Debug, Serialize, ToSchema)]
struct RateLimitsView {
    v1: V1RateView,
    v2: V2RateView,
}

/// The limit of v1.
#[derive(Debug, Serialize, ToSchema)]
struct V1RateView {
    /// Requests a minute.
    requests_per_minute: u32,
    /// Requests that may come at once.
    burst: u32,
}

/// The limit of v2.
#[derive(Debug, Serialize, ToSchema)]
struct V2RateView {
    /// Requests an hour; they may come at once.
    requests_per_hour: u32,
}

/// List the plans with their limits.
#[utoipa::path(
    tag = "plans",
    security(()),
    responses((status = 200, description = "The plans, smallest first.", body = PlansView))
)]
#[get("/plans")]
async fn list_plans() -> Json<PlansView> {
    let view = |plan: Subscription| PlanView { id: plan.name(), limits: PlanLimitsView::new(plan) };
    Json(PlansView { data: Subscription::ALL.map(view).into() })
}

impl PlanLimitsView {
    /// The limits of a plan.
    pub(crate) const fn new(plan: Subscription) -> Self {
        let limits = plan.limits();
        Self {
            rate_limits: RateLimitsView {
                v1: V1RateView { requests_per_minute: limits.v1_per_minute, burst: limits.v1_burst },
                v2: V2RateView { requests_per_hour: limits.v2_per_hour },
            },
            concurrent_scans: limits.concurrent_scans,
            concurrent_tasks: limits.tasks_in_flight,
            addresses_per_scan: limits.addresses,
            hosts_times_ports_per_scan: limits.probes,
            import_bytes: limits.import_bytes,
            concurrent_reports: limits.reports_at_once,
            reports_per_day: limits.reports_per_day,
            targets: limits.targets,
            tasks_per_scan: limits.tasks,
            scan_profiles: limits.profiles,
            webhooks: limits.webhooks,
            api_keys: limits.api_keys,
            retention_days: limits.retention_days,
            raw_output_days: limits.raw_output_days,
            live_streams: limits.streams,
        }
    }
}
