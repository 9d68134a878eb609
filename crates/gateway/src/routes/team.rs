//! `/settings/team`: members and invitations. Nobody gives, takes or touches a role above their own, and the last owner
//! stays.

mod accept;
mod invite;
mod members;
mod offer;
mod view;

use picket_domain::{OrganizationId, Permission, Role};
use picket_store::{Tx, members as store};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{Caller, Problem};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .configure(members::configure)
        .configure(invite::configure)
        .configure(offer::configure)
        .configure(accept::configure);
}

/// The role that the caller has at this moment, behind the lock of the organization: an owner who was demoted meanwhile is
/// none. For a key it is the one of its maker.
async fn rank(tx: &Tx<'_>, caller: &Caller, organization: OrganizationId) -> Result<Role, Problem> {
    let member = store::find(tx, organization, caller.user_id()).await?;
    member.map(|member| member.role).ok_or(Problem::Forbidden(Permission::TeamWrite))
}
