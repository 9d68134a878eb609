//! A caller whose answer goes on for longer than a request: looked at again and again, by what is remembered while nothing
//! changed. It must never outlive what a new request with the same credential could do.

use std::time::Instant;

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use picket_domain::{OrganizationId, Permission};

use super::{Credential, Unproven, look_up, shown, vet};
use crate::{App, Caller, Problem, RequestContext};

/// The headers that say who it is.
const HEADERS: [HeaderName; 3] =
    [AUTHORIZATION, HeaderName::from_static("x-api-key"), HeaderName::from_static("x-organization")];
/// Of so many looks one reads the credential itself again, whose signature costs more than all of them: a token ends by
/// itself.
const EVERY: u32 = 8;

/// Somebody who was let in and stays.
pub(crate) struct Held {
    headers: HeaderMap,
    credential: Credential,
    context: RequestContext,
    organization: OrganizationId,
    permission: Permission,
    looks: u32,
}

impl Held {
    /// The caller of these headers, who was let in with this permission.
    ///
    /// # Errors
    /// When the headers do not show a caller any more.
    pub(crate) fn new(
        app: &App,
        headers: &HeaderMap,
        context: RequestContext,
        caller: &Caller,
        permission: Permission,
    ) -> Result<Self, Problem> {
        let mut kept = HeaderMap::new();
        for name in HEADERS {
            headers.get_all(&name).for_each(|value| kept.append(name.clone(), value.clone()));
        }
        let credential = shown(app, &kept, app.clock.now())?;
        Ok(Self { headers: kept, credential, context, organization: caller.organization_id, permission, looks: 0 })
    }

    /// Whether the caller may go on.
    ///
    /// # Errors
    /// Why not; also when nobody can tell.
    pub(crate) async fn check(&mut self, app: &App) -> Result<(), Problem> {
        let now = app.clock.now();
        self.looks = self.looks.wrapping_add(1);
        if self.looks.is_multiple_of(EVERY) && shown(app, &self.headers, now)? != self.credential {
            return Err(Problem::Unauthenticated);
        }
        let caller = match app.callers.find(self.credential, now, Instant::now()) {
            Some(caller) => caller,
            None => {
                let unproven = Unproven { credential: self.credential, is_strange: false };
                look_up(app, &self.context, &unproven).await?
            }
        };
        vet(&caller, self.context.address, &self.headers)?;
        if caller.organization_id != self.organization {
            return Err(Problem::NotAMember);
        }
        if caller.has(self.permission) { Ok(()) } else { Err(Problem::Forbidden(self.permission)) }
    }
}
