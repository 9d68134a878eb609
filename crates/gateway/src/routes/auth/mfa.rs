//! Second factors: putting one on, showing it at a login, renewing its backup codes, taking it off.

mod manage;
mod setup;
mod verify;
mod views;

use utoipa_actix_web::service_config::ServiceConfig;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.configure(setup::configure).configure(verify::configure).configure(manage::configure);
}
