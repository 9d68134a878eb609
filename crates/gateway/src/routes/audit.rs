//! `/audit-logs`: what was done, by whom, and whether the record is whole.

use utoipa_actix_web::service_config::ServiceConfig;

pub(super) fn configure(_config: &mut ServiceConfig<'_>) {}
