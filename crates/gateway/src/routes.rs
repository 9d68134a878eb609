//! The API, one module per group of endpoints. A group that both dialects spell alike is in `shared`; scans and reports
//! have a module per version.

use utoipa_actix_web::{scope, service_config::ServiceConfig};

mod account;
mod admin;
mod api_keys;
mod audit;
mod auth;
mod blackout;
mod exclusions;
mod findings;
mod jwks;
mod organization;
mod plans;
pub(crate) mod platform;
mod profiles;
mod reports;
mod scans;
mod schedules;
mod targets;
mod team;
mod tools;
mod webhooks;

/// Mounts the API.
pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config.configure(platform::configure_root);
    config.configure(jwks::configure);
    config.service(scope("/api/v1").configure(v1));
    config.service(scope("/api/v2").configure(v2));
}

fn v1(config: &mut ServiceConfig<'_>) {
    config
        .configure(scans::v1::configure)
        .configure(reports::v1::configure)
        .configure(admin::configure)
        .configure(shared);
}

fn v2(config: &mut ServiceConfig<'_>) {
    config.configure(scans::v2::configure).configure(reports::v2::configure).configure(shared);
}

fn shared(config: &mut ServiceConfig<'_>) {
    config
        .configure(platform::configure)
        .configure(auth::configure)
        .configure(account::configure)
        .configure(organization::configure)
        .configure(team::configure)
        .configure(audit::configure)
        .configure(plans::configure)
        .configure(api_keys::configure)
        .configure(schedules::configure)
        .configure(blackout::configure)
        .configure(profiles::configure)
        .configure(targets::configure)
        .configure(exclusions::configure)
        .configure(findings::configure)
        .configure(tools::configure)
        .configure(webhooks::configure);
}
