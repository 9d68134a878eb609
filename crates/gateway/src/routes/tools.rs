//! `/tools`: the catalogue of scanners.

use actix_web::{get, web::Json};
use picket_domain::Permission;
use picket_scanners::Tool;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{Caller, Problem};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list_tools);
}

/// A scanner.
#[derive(Debug, Serialize, ToSchema)]
struct ToolView {
    /// The name that requests use.
    id: &'static str,
    /// The name for people.
    name: &'static str,
    /// The kind of tool.
    category: &'static str,
    /// What it does.
    description: &'static str,
    /// Whether it may look at any public target without proof of ownership.
    passive: bool,
    /// The JSON Schema of its parameters.
    #[schema(value_type = Object)]
    parameters: serde_json::Value,
}

/// All scanners.
#[derive(Debug, Serialize, ToSchema)]
struct ToolsView {
    /// The scanners, by name.
    data: Vec<ToolView>,
}

/// List the scanners.
#[utoipa::path(tag = "tools", responses((status = 200, description = "The scanners.", body = ToolsView)))]
#[get("/tools")]
async fn list_tools(caller: Caller) -> Result<Json<ToolsView>, Problem> {
    caller.may(Permission::ToolsRead)?;
    Ok(Json(ToolsView { data: picket_scanners::ALL.iter().copied().map(ToolView::new).collect() }))
}

impl ToolView {
    fn new(tool: &dyn Tool) -> Self {
        Self {
            id: tool.slug(),
            name: tool.title(),
            category: tool.category(),
            description: tool.description(),
            passive: tool.is_passive(),
            parameters: tool.params_schema(),
        }
    }
}
