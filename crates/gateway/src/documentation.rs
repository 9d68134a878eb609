//! The OpenAPI document, generated from the handlers and nothing else, and the reference page made of it.

pub(crate) mod page;

use actix_web::App;
use utoipa::{
    OpenApi as _,
    openapi::{
        Content, OpenApi, RefOr, Required, Response,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem},
        schema::{ObjectBuilder, Ref, Type},
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_actix_web::AppExt;

use crate::{
    FieldError, ProblemCode, ProblemView, idempotency,
    route_table::{UNCOUNTED, takes_key},
    routes,
};

/// The document without its paths.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Picket",
        description = "Vulnerability scanning: ask for scans, follow them, read findings and reports, hear of them by \
                       webhook. Two dialects of one service: `/api/v1` and `/api/v2`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        contact(name = "The operator of this service")
    ),
    servers((url = "/", description = "The gateway that served this document.")),
    components(schemas(ProblemView, ProblemCode, FieldError)),
    tags(
        (name = "authentication", description = "Registering, signing in and out, second factors, providers."),
        (name = "account", description = "Forgotten passwords, and the devices that are signed in."),
        (name = "organization", description = "The organization, its policy and limits."),
        (name = "team", description = "Members and invitations."),
        (name = "audit", description = "What was done, by whom, in a chain of hashes."),
        (name = "plans", description = "What can be paid for, and its limits."),
        (name = "api keys", description = "Credentials of programs."),
        (name = "scans", description = "Asking for scans and reading their results."),
        (name = "findings", description = "What was found, over all scans."),
        (name = "schedules", description = "Scans and reports that are made again and again."),
        (name = "reports", description = "Rendered results."),
        (name = "webhooks", description = "Where events are sent."),
        (name = "targets", description = "What may be scanned."),
        (name = "tools", description = "The scanners."),
        (name = "administration", description = "What operators of the platform see and do."),
        (name = "platform", description = "The service itself; no rate limit counts these.")
    )
)]
struct Document;

/// Texts that are served as they are.
#[derive(Debug)]
pub(crate) struct Documents {
    /// The OpenAPI document.
    pub json: String,
    /// The reference page.
    pub page: String,
}

/// What the reference page looks like.
pub(crate) const STYLE: &str = include_str!("documentation/style.css");

impl Documents {
    pub(crate) fn new(document: &OpenApi) -> Self {
        let json = document.to_json().unwrap_or_default();
        let page = page::render(&serde_json::from_str(&json).unwrap_or_default());
        Self { json, page }
    }
}

/// The OpenAPI 3.1 document of the whole API; needs no service.
#[must_use]
pub fn openapi() -> OpenApi {
    let (_, mut document) =
        App::new().into_utoipa_app().openapi(Document::openapi()).configure(routes::configure).split_for_parts();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))));
    let any_of = ["bearer", "api_key"].map(|name| SecurityRequirement::new(name, Vec::<String>::new()));
    document.security = Some(any_of.to_vec());
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            complete(path, operation);
        }
        if let Some(operation) = item.post.as_mut().filter(|operation| takes_key(operation)) {
            add_key(operation);
        }
    }
    document
}

/// The operations of a path.
fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch]
        .into_iter()
        .filter_map(Option::as_mut)
}

/// Adds what all operations have in common: an identity of their own under v2, and the ways to fail.
fn complete(path: &str, operation: &mut Operation) {
    if path.starts_with("/api/v2/") {
        operation.operation_id = operation.operation_id.take().map(|id| format!("{id}_v2"));
    }
    drop_foreign_parameter(path, operation);
    let is_counted = !operation.tags.iter().flatten().any(|tag| tag == UNCOUNTED);
    let has_body = operation.request_body.is_some();
    let takes_input = has_body || path.contains('{') || operation.parameters.is_some();
    let failures = [
        ("400", takes_input, "The request is malformed or has wrong fields."),
        ("401", operation.security.is_none(), "No valid credentials."),
        ("403", operation.security.is_none(), "The credentials lack the permission."),
        ("404", path.contains('{'), "No such resource."),
        ("413", has_body, "The body is larger than 1 MiB."),
        ("415", has_body, "The body is not `application/json`."),
        ("429", is_counted, "Too many requests; see `Retry-After`."),
        ("500", true, "Ours to repair."),
        ("503", true, "Something that we need is down; see `Retry-After`."),
    ];
    for (status, _, description) in failures.into_iter().filter(|(_, applies, _)| *applies) {
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| failure(description));
    }
}

/// The header under which a request may be repeated, and what may come of it.
fn add_key(operation: &mut Operation) {
    let about = "Names this request, so that it may be repeated: for 24 hours the same key with the same request is \
                 answered as before, with `Idempotent-Replayed: true`, and nothing is created again.";
    let kind =
        ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(idempotency::LONGEST));
    let parameter = ParameterBuilder::new()
        .name(idempotency::HEADER)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(about))
        .schema(Some(kind))
        .build();
    operation.parameters.get_or_insert_default().push(RefOr::T(parameter));
    let conflict = "A request with this `Idempotency-Key` is in flight, or it was another request.";
    operation.responses.responses.entry("409".to_owned()).or_insert_with(|| failure(conflict));
}

/// A list of a shared resource takes the size of its pages under one name in v1 and under another in v2.
fn drop_foreign_parameter(path: &str, operation: &mut Operation) {
    let foreign = if path.starts_with("/api/v2/") { "per_page" } else { "limit" };
    let own = if path.starts_with("/api/v2/") { "limit" } else { "per_page" };
    let Some(parameters) = &mut operation.parameters else { return };
    let is_named = |parameter: &RefOr<Parameter>, name: &str| matches!(parameter, RefOr::T(one) if one.name == name);
    if parameters.iter().any(|parameter| is_named(parameter, own)) {
        parameters.retain(|parameter| !is_named(parameter, foreign));
    }
}

fn failure(description: &str) -> RefOr<Response> {
    let mut response = Response::new(description);
    response
        .content
        .insert("application/problem+json".to_owned(), RefOr::T(Content::new(Some(Ref::from_schema_name("Problem")))));
    RefOr::T(response)
}
