//! `GET /scan/{id}/gate`: whether a build may go on, for a policy that the request states. Whatever is not `pass` is not a
//! pass: a scan that goes on or that did not look at everything never is one by default.

mod policy;
mod sarif;
mod view;

use actix_web::{HttpResponse, get, web::Data};
use picket_domain::{Coverage, GateReason, GateVerdict, Permission, ScanId, Severity, SeverityCounts, judge_gate};
use picket_store::{
    Tx,
    scans::{
        compare,
        gate::{self, GateFinding, Judged},
        overview::ScanKey,
        read::{self, ScanRecord},
    },
};
use utoipa_actix_web::service_config::ServiceConfig;

use self::{
    policy::{Base, GateFormat, GateParamsV1, Wanted},
    view::GateV1,
};
use crate::{
    App, Caller, Id, Problem, Query,
    routes::scans::{MOST_FINDINGS, MOST_TEXT_BYTES, find},
};

/// Findings that are shown of each severity that has too many.
const SHOWN: i64 = 100;
/// The media type of SARIF.
const SARIF: &str = "application/sarif+json";

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(gate_scan);
}

/// A scan as a gate judges it.
struct Gated {
    record: ScanRecord,
    /// Whether it repeats only what another one did not look at.
    is_partial: bool,
    coverage: Vec<Coverage>,
    judged: Judged,
    /// The judged findings.
    counts: SeverityCounts,
    /// All findings of the scan.
    total: u64,
    verdict: GateVerdict,
    reasons: Vec<GateReason>,
    /// Those that are too many, or for SARIF all.
    findings: Vec<GateFinding>,
}

impl Gated {
    /// The severities of which there are too many.
    fn exceeded(&self) -> Vec<Severity> {
        exceeded(&self.reasons)
    }
}

/// Ask whether a build may go on.
///
/// The policy is in the query. Without a word: no finding may be high or critical, and the scan must have ended and looked at
/// everything. `verdict` is `pass`, `fail`, `pending` (the scan has not ended, and nothing is wrong so far) or `incomplete`
/// (nothing is wrong with what was looked at, and that was not all); go on with `pass` alone. Findings that are too many fail
/// at once, before the scan ends.
#[utoipa::path(
    tag = "scans",
    params(("id" = String, Path, description = "The scan."), GateParamsV1),
    responses((status = 200, description = "The verdict, or the findings as SARIF 2.1.0.", content(
        (GateV1 = "application/json"), (serde_json::Value = "application/sarif+json")
    ))),
)]
#[get("/scan/{id}/gate")]
async fn gate_scan(
    app: Data<App>,
    caller: Caller,
    id: Id<ScanId>,
    Query(params): Query<GateParamsV1>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ScansRead)?;
    let wanted = params.check(id.0)?;
    let gated = app.db.read("gate_scan", caller.organization_id, async |tx| load(tx, id.0, &wanted).await).await?;
    Ok(match wanted.format {
        GateFormat::Json => HttpResponse::Ok().json(GateV1::new(&gated, &wanted.policy)),
        GateFormat::Sarif => HttpResponse::Ok().content_type(SARIF).json(sarif::log(&gated)),
    })
}

async fn load(tx: &Tx<'_>, id: ScanId, wanted: &Wanted) -> Result<Gated, Problem> {
    gate::at_one_moment(tx).await?;
    let record = find(tx, ScanKey::Id(id)).await?;
    let since = match wanted.base {
        Base::None => None,
        Base::Previous => Some(compare::previous(tx, &record).await?),
        Base::Named(base) => Some(Some(find(tx, ScanKey::Id(base)).await?.scan.id)),
    };
    let judged = Judged { scan: id, least_confidence: wanted.least_confidence, since };
    let coverage = read::coverage(tx, &record).await?;
    let counts = gate::counts(tx, &judged).await?;
    let is_partial = gate::is_partial(tx, id).await?;
    let (verdict, reasons) = judge_gate(&wanted.policy, &counts, &record.scan.state, is_partial, &coverage);
    let (total, findings) = match wanted.format {
        GateFormat::Json => (counts.total(), gate::list(tx, &judged, &exceeded(&reasons), SHOWN).await?),
        GateFormat::Sarif => {
            let total = read::severity_counts(tx, &[id]).await?.first().map_or(0, SeverityCounts::total);
            (total, gate::all(tx, &judged, MOST_FINDINGS, MOST_TEXT_BYTES).await?)
        }
    };
    Ok(Gated { record, is_partial, coverage, judged, counts, total, verdict, reasons, findings })
}

/// The severities of which there are too many; with info come the unrated findings, which count as info.
fn exceeded(reasons: &[GateReason]) -> Vec<Severity> {
    let severity = |reason: &GateReason| match reason {
        GateReason::TooMany { severity, .. } => Some(*severity),
        GateReason::NotEnded
        | GateReason::Failed
        | GateReason::NothingExamined
        | GateReason::PartOfAScan
        | GateReason::Gaps { .. } => None,
    };
    let mut all: Vec<Severity> = reasons.iter().filter_map(severity).collect();
    if all.contains(&Severity::Info) {
        all.push(Severity::Unknown);
    }
    all
}
