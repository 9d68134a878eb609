//! `picket openapi`: the document that the handlers make, without any service.

use crate::CommandError;

/// The document as JSON.
pub(crate) fn document() -> Result<String, CommandError> {
    Ok(serde_json::to_string_pretty(&picket_gateway::openapi())?)
}
