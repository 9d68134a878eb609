//! What a client asks for under v2, where it is kept for later.

use serde_json::Value;

use super::CreateScanV2;
use crate::{
    Problem,
    body::{part, within},
    routes::scans::ask::Ask,
};

/// Reads the body of a create that stands in `field`.
pub(in crate::routes) fn order(field: &str, body: &Value) -> Result<Ask, Problem> {
    part::<CreateScanV2>(field, body)?.ask().map_err(|problem| within(field, problem))
}
