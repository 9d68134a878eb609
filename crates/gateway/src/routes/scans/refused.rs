//! Parameters that fit no tool leave a row in the audit log: who tries them is worth knowing. It never holds what was sent.
//! Dry runs (`build-command`, `estimate`) and profiles leave none: they make nothing.

use picket_domain::AuditAction;
use picket_store::audit;
use serde_json::json;

use crate::{App, Caller, Problem, RequestContext};

/// Notes that the parameters of a create were refused, and gives the refusal back; other refusals leave no row. Where the
/// row cannot be written, that is the answer.
pub(super) async fn noted(
    app: &App,
    caller: &Caller,
    context: &RequestContext,
    tool: Option<&str>,
    problem: Problem,
) -> Result<Problem, Problem> {
    let Problem::Invalid(errors) = &problem else { return Ok(problem) };
    let is_of_tool = |field: &str| field == "tool" || field.starts_with("parameters");
    let Some(error) = errors.iter().find(|error| is_of_tool(&error.field)) else { return Ok(problem) };
    // The name of a field that is unknown is the client's text.
    let field = if error.code == "unknown_field" { "parameters" } else { &error.field };
    let known = tool.and_then(picket_scanners::find).map(picket_scanners::Tool::slug);
    let after = json!({ "tool": known, "field": field, "code": error.code });
    let entry =
        context.entry(app.clock.now(), &caller.label(), AuditAction::ScanRefused, None).change(None, Some(after));
    app.db
        .run("refuse_scan", caller.organization_id, async |tx| {
            Ok::<_, Problem>(audit::record(tx, caller.organization_id, &entry).await?)
        })
        .await?;
    Ok(problem)
}
