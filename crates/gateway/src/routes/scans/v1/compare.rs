//! What became of the findings between two scans. "Fixed" is never said of what the later scan did not look at.

use actix_web::{
    get,
    web::{Data, Json},
};
use picket_domain::{FindingId, Permission, ScanId};
use picket_store::scans::{
    compare::{self, Outcome, Slice},
    overview::ScanKey,
    read::SightedFinding,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::follow::{behind, cut, page_rows};
use crate::{App, Caller, Id, Problem, Query, routes::scans::find};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(compare_scans);
}

/// With which scan, and which part of the answer.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CompareV1 {
    /// The scan to compare with; the one of the same target before this one when absent.
    base: Option<String>,
    /// Findings of this outcome alone; all when absent.
    #[param(inline)]
    outcome: Option<OutcomeV1>,
    /// Findings of the page; 50 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// What became of a finding.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum OutcomeV1 {
    New,
    Fixed,
    Unchanged,
    Reopened,
    NotExamined,
}

impl From<OutcomeV1> for Outcome {
    fn from(wanted: OutcomeV1) -> Self {
        match wanted {
            OutcomeV1::New => Self::New,
            OutcomeV1::Fixed => Self::Fixed,
            OutcomeV1::Unchanged => Self::Unchanged,
            OutcomeV1::Reopened => Self::Reopened,
            OutcomeV1::NotExamined => Self::NotExamined,
        }
    }
}

/// Two scans side by side.
#[derive(Debug, Serialize, ToSchema)]
struct ComparisonV1 {
    #[schema(value_type = String)]
    scan_id: ScanId,
    /// Null when there is no scan of the same target before this one: then everything is new.
    #[schema(value_type = Option<String>)]
    base_scan_id: Option<ScanId>,
    counts: OutcomeCountsV1,
    /// Findings by their ids.
    data: Vec<ComparedV1>,
    /// `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// Findings of either scan per outcome.
#[derive(Debug, Default, Serialize, ToSchema)]
struct OutcomeCountsV1 {
    /// The base did not have them.
    new: u64,
    /// The base had them; the scan looked in full and does not.
    fixed: u64,
    /// Both have them.
    unchanged: u64,
    /// Known from before the base, which looked in full and did not have them; now they are back.
    reopened: u64,
    /// The base had them; the scan did not look there in the same way, or not to the end.
    not_examined: u64,
}

impl OutcomeCountsV1 {
    fn new(counts: &[(Outcome, u64)]) -> Self {
        let mut all = Self::default();
        for (outcome, count) in counts {
            match outcome {
                Outcome::New => all.new = *count,
                Outcome::Fixed => all.fixed = *count,
                Outcome::Unchanged => all.unchanged = *count,
                Outcome::Reopened => all.reopened = *count,
                Outcome::NotExamined => all.not_examined = *count,
            }
        }
        all
    }
}

/// A finding and what became of it.
#[derive(Debug, Serialize, ToSchema)]
struct ComparedV1 {
    #[schema(value_type = String, example = "vuln_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    id: FindingId,
    /// `new`, `fixed`, `unchanged`, `reopened` or `not_examined`.
    outcome: &'static str,
    title: String,
    rule: String,
    cve: Option<String>,
    /// As the scan saw it, or the base where the scan did not.
    severity: &'static str,
    location: String,
}

impl ComparedV1 {
    fn new((outcome, finding): &(Outcome, SightedFinding)) -> Self {
        Self {
            id: finding.id,
            outcome: outcome.name(),
            title: finding.title.clone(),
            rule: finding.rule.clone(),
            cve: finding.cve.clone(),
            severity: finding.severity.name(),
            location: finding.location.to_string(),
        }
    }
}

/// Compare a scan with a base: what is new, fixed, unchanged or reopened.
///
/// A finding is fixed only where this scan looked in full with the same tool and parameters; else it is `not_examined`.
#[utoipa::path(
    tag = "scans",
    params(("id" = String, Path, description = "The scan."), CompareV1),
    responses((status = 200, description = "What became of the findings.", body = ComparisonV1)),
)]
#[get("/scan/{id}/compare")]
async fn compare_scans(
    app: Data<App>,
    caller: Caller,
    id: Id<ScanId>,
    Query(query): Query<CompareV1>,
) -> Result<Json<ComparisonV1>, Problem> {
    caller.may(Permission::ScansRead)?;
    let base = query.base.as_deref().map(|text| base(text, id.0)).transpose()?;
    let (limit, most) = page_rows(query.limit)?;
    let outcome = query.outcome.map(Outcome::from);
    let slice = Slice { outcome, behind: behind(query.cursor.as_deref())?, limit };
    let (base, counts, rows) = app
        .db
        .read("compare_scans", caller.organization_id, async |tx| {
            let record = find(tx, ScanKey::Id(id.0)).await?;
            let base = match base {
                Some(base) => Some(find(tx, ScanKey::Id(base)).await?.scan.id),
                None => compare::previous(tx, &record).await?,
            };
            let counts = compare::counts(tx, base, id.0).await?;
            Ok::<_, Problem>((base, counts, compare::list(tx, base, id.0, slice).await?))
        })
        .await?;
    let (rows, next_cursor) = cut(rows, most, |(_, finding)| finding.id.to_string());
    let (counts, data) = (OutcomeCountsV1::new(&counts), rows.iter().map(ComparedV1::new).collect());
    Ok(Json(ComparisonV1 { scan_id: id.0, base_scan_id: base, counts, data, next_cursor }))
}

/// The base that a client names.
pub(super) fn base(text: &str, later: ScanId) -> Result<ScanId, Problem> {
    let base =
        text.parse().map_err(|_| Problem::field("base", "invalid_id", "expected an id that starts with `scan_`"))?;
    if base == later {
        return Err(Problem::field("base", "same_scan", "expected another scan than the one compared"));
    }
    Ok(base)
}
