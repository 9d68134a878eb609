//! `/settings/team`: members and invitations. Nobody gives, takes or touches a role above their own, and the last owner
//! stays.

mod accept;
mod invite;
mod members;
mod offer;
mod page;
mod view;

use picket_domain::{OrganizationId, Permission, Role};
use picket_store::{Tx, members as store};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{Caller, Problem, Subject};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .configure(members::configure)
        .configure(invite::configure)
        .configure(offer::configure)
        .configure(accept::configure);
}

/// The role that the caller has at this moment, behind the lock of the organization: an owner who was demoted meanwhile is
/// none. A key has the one of its maker, and no more than the greatest whose permissions it has all: a key for less than what
/// an owner may do makes no owners.
async fn rank(tx: &Tx<'_>, caller: &Caller, organization: OrganizationId) -> Result<Role, Problem> {
    let member = store::find(tx, organization, caller.user_id()).await?;
    let role = member.map(|member| member.role).ok_or(Problem::Forbidden(Permission::TeamWrite))?;
    match caller.subject {
        Subject::User { .. } => Ok(role),
        Subject::ApiKey { .. } => Ok(role.min(greatest(caller).ok_or(Problem::Outranked)?)),
    }
}

/// The greatest role whose permissions the caller has all; none of them when some that everybody has is missing.
fn greatest(caller: &Caller) -> Option<Role> {
    let holds = |role: &Role| Permission::ALL.iter().all(|one| !role.allows(*one) || caller.has(*one));
    Role::ALL.into_iter().rev().find(holds)
}
