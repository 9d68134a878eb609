//! `/audit-logs`: what was done, by whom, and whether the record is whole. Reads only; rows are added by the transactions
//! that change something.

mod cursor;
mod filter;
mod view;

use actix_web::{
    get,
    web::{Data, Json},
};
use picket_domain::Permission;
use picket_store::audit::read;
use utoipa_actix_web::service_config::ServiceConfig;

use self::{
    filter::{AuditLogParams, VerifyParams},
    view::{AuditLogPage, VerificationView},
};
use crate::{App, Caller, Problem, Query};

/// Rows that one request checks; the answer says where to go on.
const MOST_CHECKED: u64 = 10_000;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list_audit_logs).service(verify_audit_logs);
}

/// List what was done, newest first.
///
/// All filters must hold. Pages are found by `cursor`, so that rows which are added meanwhile move nothing.
#[utoipa::path(
    tag = "audit",
    params(AuditLogParams),
    responses((status = 200, description = "A page of the audit log.", body = AuditLogPage)),
)]
#[get("/audit-logs")]
async fn list_audit_logs(
    app: Data<App>,
    caller: Caller,
    Query(params): Query<AuditLogParams>,
) -> Result<Json<AuditLogPage>, Problem> {
    caller.may(Permission::AuditRead)?;
    let wanted = params.check()?;
    let organization = caller.organization_id;
    // One more than the page has, to know whether there is another.
    let rows = app
        .db
        .read("list_audit_logs", organization, async |tx| {
            read::list(tx, organization, &wanted.filter, wanted.limit.saturating_add(1)).await.map_err(Problem::from)
        })
        .await?;
    Ok(Json(AuditLogPage::new(&rows, wanted.limit)?))
}

/// Check that the audit log is whole.
///
/// Each row's hash covers the row before it. All hashes from `from` to `to` are computed anew, at most 10,000 in one
/// request: while `next` is a number, ask again from there. Rows cut off at the end show against the head that the database
/// keeps; against who changes that too, the operator exports heads (`picket audit head`).
#[utoipa::path(
    tag = "audit",
    params(VerifyParams),
    responses((status = 200, description = "What the check found.", body = VerificationView)),
)]
#[get("/audit-logs/verify")]
async fn verify_audit_logs(
    app: Data<App>,
    caller: Caller,
    Query(params): Query<VerifyParams>,
) -> Result<Json<VerificationView>, Problem> {
    caller.may(Permission::AuditRead)?;
    let span = params.check(MOST_CHECKED)?;
    let organization = caller.organization_id;
    let found = app
        .db
        .read("verify_audit_logs", organization, async |tx| {
            read::verify(tx, organization, span).await?.ok_or(Problem::NotFound("organization"))
        })
        .await?;
    Ok(Json(VerificationView::new(&found)))
}
