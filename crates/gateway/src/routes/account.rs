//! `/account`: forgotten passwords, sessions, the address, and accounts of providers.

mod address;
mod forgotten;
mod identities;
mod sessions;

use utoipa_actix_web::service_config::ServiceConfig;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .configure(forgotten::configure)
        .configure(sessions::configure)
        .configure(address::configure)
        .configure(identities::configure);
}
