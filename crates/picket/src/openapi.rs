//! `picket openapi`: the document that the handlers make, without any service.

use crate::CommandError;

/// Prints the document as JSON.
pub(crate) fn print() -> Result<(), CommandError> {
    println!("{}", serde_json::to_string_pretty(&picket_gateway::openapi())?);
    Ok(())
}
