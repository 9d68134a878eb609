//! `/account`: forgotten passwords and sessions.

mod forgotten;
mod sessions;

use utoipa_actix_web::service_config::ServiceConfig;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.configure(forgotten::configure).configure(sessions::configure);
}
