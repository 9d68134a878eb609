//! `/auth`: registering, signing in and out, second factors, providers, and who one is.

mod avatar;
mod email;
mod login;
mod mfa;
mod oauth;
mod password;
mod profile;
mod register;
mod session;
pub(super) mod views;

use utoipa_actix_web::service_config::ServiceConfig;

pub(super) use self::views::{AddressRequest, Mailed, check_address};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .configure(register::configure)
        .configure(login::configure)
        .configure(session::configure)
        .configure(profile::configure)
        .configure(password::configure)
        .configure(avatar::configure)
        .configure(email::configure)
        .configure(mfa::configure)
        .configure(oauth::configure);
}
