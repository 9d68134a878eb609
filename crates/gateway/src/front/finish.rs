//! The last steps of a request: the failure's body, the headers of every answer, the log line, the metrics.

use std::time::Duration;

use actix_web::{
    HttpMessage,
    body::BoxBody,
    dev::ServiceResponse,
    http::{
        Method, StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
};

use crate::{App, Caller, Problem, RequestContext, access::Counted, server::readers::paced};

/// Headers that every answer has unless its handler set them otherwise.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Turns a failure into its answer and adds the headers.
pub(super) fn finish(
    app: &App,
    context: &RequestContext,
    response: ServiceResponse<BoxBody>,
) -> ServiceResponse<BoxBody> {
    let mut response = explain(context, response);
    let counted = response.request().extensions().get::<Counted>().copied();
    let headers = response.headers_mut();
    if let Some(counted) = counted {
        counted.write(headers);
    }
    for (name, value) in HEADERS {
        set_default(headers, name, value);
    }
    if app.settings.tls.is_some() {
        set_default(headers, header::STRICT_TRANSPORT_SECURITY, "max-age=63072000");
    }
    if let Ok(id) = HeaderValue::from_str(&context.request_id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    let (request, response) = response.into_parts();
    let response = response.map_body(|head, body| paced(&request, head.headers(), body));
    ServiceResponse::new(request, response)
}

fn set_default(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    if !headers.contains_key(&name) {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// The body of a failure, ours or of the server beneath; logs what is ours to repair.
fn explain(context: &RequestContext, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let Some(error) = response.response().error() else { return response };
    let foreign = foreign(response.status());
    let problem = error.as_error::<Problem>().unwrap_or(&foreign);
    if problem.code().status().is_server_error() {
        let cause = std::error::Error::source(problem).unwrap_or(problem);
        tracing::error!(request.id = %context.request_id, error = cause, "a request failed");
    }
    let answer = problem.answer(&context.request_id);
    let (request, _) = response.into_parts();
    ServiceResponse::new(request, answer)
}

/// What the server beneath refuses before any of our code sees it.
fn foreign(status: StatusCode) -> Problem {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::TooLarge { limit_bytes: crate::body::LONGEST_BYTES },
        StatusCode::NOT_FOUND => Problem::NotFound("path"),
        status if status.is_client_error() => Problem::Malformed("expected a request in the form of HTTP/1.1"),
        _ => Problem::internal("an error that is not of the gateway"),
    }
}

/// One line and two metrics.
pub(super) fn record(
    context: &RequestContext,
    method: &Method,
    route: &str,
    response: &ServiceResponse<BoxBody>,
    took: Duration,
) {
    let status = response.status();
    let tenant = response.request().extensions().get::<Caller>().map(|caller| caller.organization_id.to_string());
    let method = if is_known(method) { method.as_str() } else { "(other)" }.to_owned();
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        http.method = %method,
        http.route = route,
        http.status = status.as_u16(),
        duration_ms,
        request.id = %context.request_id,
        tenant.id = tenant,
        "request"
    );
    let labels = [("method", method), ("route", route.to_owned()), ("status", status.as_str().to_owned())];
    metrics::counter!("picket_http_requests_total", &labels).increment(1);
    let [method, route, _] = labels;
    metrics::histogram!("picket_http_request_duration_seconds", &[method, route]).record(took.as_secs_f64());
}

/// Methods that may be a label: a client must not make new ones.
fn is_known(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS]
        .contains(method)
}
