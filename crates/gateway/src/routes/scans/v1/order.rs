//! What a client asks for under v1, where it is kept for later.

use serde_json::Value;

use super::CreateScanV1;
use crate::{
    Problem,
    body::{part, within},
    routes::scans::ask::Ask,
};

/// Reads the body of a create that stands in `field`.
pub(in crate::routes) fn order(field: &str, body: &Value) -> Result<Ask, Problem> {
    part::<CreateScanV1>(field, body)?.ask().map_err(|problem| within(field, problem))
}
