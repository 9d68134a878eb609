//! Who one is.

use actix_web::{
    get,
    web::{Data, Json},
};
use picket_store::accounts;
use utoipa_actix_web::service_config::ServiceConfig;

use super::views::ProfileView;
use crate::{App, Caller, Problem};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(get_me);
}

/// Get who the caller is; for an API key, who made it.
#[utoipa::path(tag = "authentication", responses((status = 200, description = "The caller.", body = ProfileView)))]
#[get("/auth/me")]
async fn get_me(app: Data<App>, caller: Caller) -> Result<Json<ProfileView>, Problem> {
    let (organization, user) = (caller.organization_id, caller.user_id());
    let profile = app
        .db
        .operate("get_me", async |tx| Ok::<_, Problem>(accounts::find_profile(tx, organization, user).await?))
        .await?
        .ok_or(Problem::Unauthenticated)?;
    Ok(Json(ProfileView::new(&caller, profile)))
}
