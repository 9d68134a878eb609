//! `/account`: forgotten passwords and sessions.

mod sessions;

use utoipa_actix_web::service_config::ServiceConfig;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.configure(sessions::configure);
}
