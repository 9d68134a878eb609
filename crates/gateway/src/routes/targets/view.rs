//! Targets as clients see them. A token is in none of these.

use jiff::Timestamp;
use picket_domain::{AuthorizationId, Criticality, Politeness, ScanId, SeverityCounts, TargetId};
use picket_store::{
    authorizations::WrittenAuthorization,
    targets::{self, LastScan, ListedTarget},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::routes::scans::v1::FindingCountsV1;

/// A target.
#[derive(Serialize, ToSchema)]
pub(super) struct TargetView {
    /// Identity.
    #[schema(value_type = String)]
    id: TargetId,
    /// The target in its canonical form.
    target: String,
    /// `host`, `address` or `network`.
    kind: &'static str,
    /// Words of yours.
    tags: Vec<String>,
    /// `low`, `medium`, `high` or `critical`.
    #[schema(value_type = String, example = "medium")]
    criticality: Criticality,
    /// Whom to ask about it.
    owner: Option<String>,
    /// How gently it is examined; null where it is as every target.
    politeness: Option<PolitenessView>,
    verification: VerificationStateView,
    /// Since when it is kept.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// How gently a target is examined.
#[derive(Serialize, ToSchema)]
struct PolitenessView {
    /// Tasks of yours that examine one of its hosts at once; null for what every target has.
    max_tasks: Option<u32>,
    /// The most requests or packets in a second of one run; null for what the tools have.
    max_rate: Option<u32>,
}

impl PolitenessView {
    fn of(politeness: Politeness) -> Option<Self> {
        let Politeness { max_tasks, max_rate } = politeness;
        (politeness != Politeness::default()).then_some(Self { max_tasks, max_rate })
    }
}

/// Whether it is proven that the target is yours.
#[derive(Serialize, ToSchema)]
struct VerificationStateView {
    /// `verified`, `pending` (a token waits to be found) or `unverified`.
    #[schema(example = "verified")]
    state: &'static str,
    /// Until when it is proven.
    #[schema(value_type = Option<String>, format = DateTime)]
    verified_until: Option<Timestamp>,
}

/// A target with what allows its scans.
#[derive(Serialize, ToSchema)]
pub(super) struct TargetDetailView {
    #[serde(flatten)]
    target: TargetView,
    /// What is recorded in writing.
    authorization: Option<AuthorizationView>,
    /// The latest scan of exactly this target.
    last_scan: Option<LastScanView>,
    /// What the latest scan of exactly this target that completed saw; null before the first.
    open_findings: Option<OpenFindingsView>,
}

/// What a scan saw.
#[derive(Serialize, ToSchema)]
struct OpenFindingsView {
    /// The scan.
    #[schema(value_type = String)]
    scan_id: ScanId,
    #[serde(flatten)]
    counts: FindingCountsV1,
}

/// The latest scan of a target.
#[derive(Serialize, ToSchema)]
struct LastScanView {
    /// Identity, as v1 has it.
    #[schema(value_type = String)]
    id: ScanId,
    /// The name of its state.
    status: String,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// A written authorization.
#[derive(Serialize, ToSchema)]
pub(super) struct AuthorizationView {
    /// Identity; scans that rely on it name it.
    #[schema(value_type = String)]
    id: AuthorizationId,
    /// `target`, or `subdomains` for every name below it too.
    #[schema(example = "target")]
    scope: &'static str,
    /// From when.
    #[schema(value_type = String, format = DateTime)]
    not_before: Timestamp,
    /// To when.
    #[schema(value_type = String, format = DateTime)]
    not_after: Timestamp,
    /// Whether it holds now.
    valid: bool,
    /// Who signed the document.
    approver: String,
    /// SHA-256 of the document, in hex.
    document_sha256: String,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    recorded_at: Timestamp,
    /// By whom.
    recorded_by: String,
}

impl TargetView {
    pub(super) fn new(listed: ListedTarget) -> Self {
        Self {
            id: listed.id,
            target: listed.target.to_string(),
            kind: targets::kind_name(&listed.target),
            tags: listed.words.tags,
            criticality: listed.words.criticality,
            owner: listed.words.owner,
            politeness: PolitenessView::of(listed.words.politeness),
            verification: VerificationStateView {
                state: listed.verification.name(),
                verified_until: listed.verified_until,
            },
            created_at: listed.created_at,
        }
    }
}

impl TargetDetailView {
    pub(super) fn new(
        target: ListedTarget,
        written: Option<WrittenAuthorization>,
        (last_scan, open): (Option<LastScan>, Option<(ScanId, SeverityCounts)>),
        now: Timestamp,
    ) -> Self {
        let open = open.map(|(scan_id, counts)| OpenFindingsView { scan_id, counts: counts.into() });
        let shown = |LastScan { id, state: status, created_at }| LastScanView { id, status, created_at };
        Self {
            target: TargetView::new(target),
            authorization: written.map(|written| AuthorizationView::new(written, now)),
            last_scan: last_scan.map(shown),
            open_findings: open,
        }
    }
}

impl AuthorizationView {
    pub(super) fn new(written: WrittenAuthorization, now: Timestamp) -> Self {
        Self {
            id: written.id,
            scope: written.reach.name(),
            not_before: written.not_before,
            not_after: written.not_after,
            valid: written.not_before <= now && now < written.not_after,
            approver: written.approver,
            document_sha256: written.document_sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            recorded_at: written.recorded_at,
            recorded_by: written.recorded_by,
        }
    }
}
