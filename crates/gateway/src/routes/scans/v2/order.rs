//! What a client asks for under v2, in the form in which it is kept for later.

use picket_domain::Plan;
use picket_planner::ScanOrder;
use serde_json::Value;

use super::CreateScanV2;
use crate::{Problem, body::part};

/// Reads the body of a create that stands in `field`.
pub(in crate::routes) fn order(field: &str, body: &Value) -> Result<ScanOrder, Problem> {
    let CreateScanV2 { target, scan_type, options } = part(field, body)?;
    let plan = scan_type.map_or(Plan::Full, Plan::from);
    let request = options.unwrap_or_default().under(plan).to_json();
    Ok(ScanOrder { target, plan, tool: None, request, notify: Vec::new() })
}
