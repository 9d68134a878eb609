//! `/findings`: what was found over all scans of the organization, each weakness once. Reads only.

mod cursor;
mod filter;
mod view;

use actix_web::{
    get,
    web::{Data, Json},
};
use picket_domain::Permission;
use picket_store::findings::list;
use utoipa_actix_web::service_config::ServiceConfig;

use self::{filter::FindingsQuery, view::FindingPage};
use super::scans::demand;
use crate::{App, Caller, Problem, Query};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list_findings);
}

/// List findings over all scans, the worst first and the last seen first among them.
///
/// A weakness is one finding however many scans and tools saw it. All filters must hold. Pages are found by `cursor`, so that
/// what is found meanwhile moves nothing; a finding that is seen again meanwhile may go to a page before.
#[utoipa::path(
    tag = "findings",
    params(FindingsQuery),
    responses((status = 200, description = "A page of findings.", body = FindingPage)),
)]
#[get("/findings")]
async fn list_findings(
    app: Data<App>,
    caller: Caller,
    Query(query): Query<FindingsQuery>,
) -> Result<Json<FindingPage>, Problem> {
    caller.may(Permission::ScansRead)?;
    let wanted = query.check()?;
    // One more than the page has, to know whether there is another.
    let rows = app
        .db
        .read("list_findings", caller.organization_id, async |tx| {
            if let Some(scan) = wanted.filter.scan {
                demand(tx, scan).await?;
            }
            list::list(tx, &wanted.filter, wanted.limit.saturating_add(1)).await.map_err(Problem::from)
        })
        .await?;
    Ok(Json(FindingPage::new(&rows, wanted.limit)))
}
