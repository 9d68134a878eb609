//! Reports in both dialects. What they share is here: asking for one, finding one. The dialects differ in their ids alone;
//! rendering is the renderer's.

mod download;
mod logo;
mod order;
pub(super) mod range;
pub(super) mod v1;
pub(super) mod v2;
mod view;

use picket_domain::ReportId;
use picket_store::{
    Tx,
    reports::read::{self, ReportRecord},
};

use crate::{App, Caller, Problem};

/// How a dialect names a report.
#[derive(Debug, Clone, Copy)]
enum ReportKey {
    /// v1.
    Id(ReportId),
    /// v2.
    Number(i64),
}

/// The caller's report; another organization's does not exist.
async fn find(tx: &Tx<'_>, key: ReportKey) -> Result<ReportRecord, Problem> {
    let found = match key {
        ReportKey::Id(id) => read::find(tx, id).await?,
        ReportKey::Number(number) => read::find_by_number(tx, number).await?,
    };
    found.ok_or(Problem::NotFound("report"))
}

/// The same in a transaction of its own.
async fn load(app: &App, caller: &Caller, key: ReportKey) -> Result<ReportRecord, Problem> {
    app.db.read("load_report", caller.organization_id, async |tx| find(tx, key).await).await
}
