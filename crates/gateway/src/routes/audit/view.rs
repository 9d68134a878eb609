//! The audit log as its readers see it.

use jiff::Timestamp;
use picket_domain::{AuditRow, BreakReason};
use picket_store::audit::read::Verification;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::cursor;
use crate::Problem;

/// A page of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditLogPage {
    /// The rows, newest first.
    data: Vec<AuditLogView>,
    /// `cursor` of the next page; null on the last one.
    next_cursor: Option<String>,
}

/// One thing that was done.
#[derive(Debug, Serialize, ToSchema)]
struct AuditLogView {
    /// Its place in the log, from 1.
    sequence: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Who: `usr_…`, `key_…` or `operator`.
    actor: String,
    /// What.
    #[schema(example = "api_key.created")]
    action: String,
    /// To what.
    object: Option<String>,
    /// From which address.
    address: Option<String>,
    /// The request.
    request_id: Option<String>,
    /// What it was before, without secrets.
    before: Option<Value>,
    /// What it became, without secrets.
    after: Option<Value>,
    /// SHA-256 over the row before and this one, in hexadecimal digits.
    hash: String,
}

/// What a check of the audit log found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VerificationView {
    /// Whether nothing of what was checked is broken.
    whole: bool,
    /// Rows that are as they were written.
    checked: u64,
    /// The first row that is not.
    first_broken: Option<BrokenView>,
    /// The end of the log.
    head: HeadView,
    /// Where to go on: `from` of the next request; null when nothing is left to check.
    next: Option<i64>,
}

/// A row that is not as it was written.
#[derive(Debug, Serialize, ToSchema)]
struct BrokenView {
    /// The row.
    sequence: i64,
    /// `missing`, `altered`, `time_altered`, `out_of_order`, `beyond_head` or `head_differs`.
    #[schema(value_type = String)]
    why: BreakReason,
}

/// The end of the log.
#[derive(Debug, Serialize, ToSchema)]
struct HeadView {
    /// The last row; 0 when there is none.
    sequence: i64,
    /// Its hash, in hexadecimal digits.
    hash: String,
}

/// The text of a row. More lenient than what writes it: a newer version of the platform may know more actions.
#[derive(Debug, Deserialize)]
struct Entry {
    at: Timestamp,
    actor: String,
    action: String,
    object: Option<String>,
    address: Option<String>,
    request_id: Option<String>,
    before: Option<Value>,
    after: Option<Value>,
}

impl AuditLogPage {
    /// The first `limit` of the rows; more of them mean that there is another page.
    pub(super) fn new(rows: &[AuditRow], limit: i64) -> Result<Self, Problem> {
        let limit = usize::try_from(limit).unwrap_or_default();
        let shown = rows.get(..limit).unwrap_or(rows);
        let is_last = shown.len() == rows.len();
        let next_cursor = shown.last().filter(|_| !is_last).map(|row| cursor::write(row.sequence));
        Ok(Self { data: shown.iter().map(AuditLogView::new).collect::<Result<_, _>>()?, next_cursor })
    }
}

impl AuditLogView {
    fn new(row: &AuditRow) -> Result<Self, Problem> {
        let entry: Entry = serde_json::from_str(&row.entry).map_err(Problem::internal)?;
        let Entry { at, actor, action, object, address, request_id, before, after } = entry;
        let hash = row.hash.to_string();
        Ok(Self { sequence: row.sequence, at, actor, action, object, address, request_id, before, after, hash })
    }
}

impl VerificationView {
    pub(super) fn new(found: &Verification) -> Self {
        Self {
            whole: found.broken.is_none(),
            checked: found.checked,
            first_broken: found.broken.map(|broken| BrokenView { sequence: broken.sequence, why: broken.why }),
            head: HeadView { sequence: found.head.sequence, hash: found.head.hash.to_string() },
            next: found.next,
        }
    }
}
