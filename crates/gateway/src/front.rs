//! The first and the last to see a request. It gives the request its names, rewrites its path to the one that routes know,
//! finds the route, and afterwards turns failures into answers, adds headers, and writes one line and two metrics.
//! Never logs a query, a body, a token or an address of a client.

mod finish;
mod path;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use actix_web::{
    Error, HttpMessage,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, header::HeaderMap},
    middleware::Next,
    web::Data,
};
use picket_domain::Dialect;
use picket_kit::TraceParent;
use tracing::Instrument;

use crate::{App, Problem, RequestContext, access::admit, idempotency, route_table::Found};

/// The pattern in logs and metrics of a path that is none.
const NO_ROUTE: &str = "(none)";

/// The most that names and values of headers may take together, in bytes.
const LONGEST_HEADERS: usize = 32 * 1024;

/// Marks a request whose answer has no body, for handlers whose body would not end.
pub(crate) struct HeadOnly;

/// The middleware around everything.
pub(crate) async fn front<B: MessageBody + 'static>(
    app: Data<App>,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begun = Instant::now();
    path::rewrite(&app, &mut request);
    let context = context(&app, &request);
    request.extensions_mut().insert(context.clone());
    let method = request.method().clone();
    let span = tracing::info_span!(
        "http.request",
        request.id = %context.request_id,
        trace.id = %context.trace.trace_id(),
        tenant.id = tracing::field::Empty,
        scan.id = tracing::field::Empty,
    );
    async move {
        let (route, response) = pass(&app, &context, request, next).await;
        let response = finish::finish(&app, &context, response?);
        finish::record(&context, &method, route, &response, begun.elapsed());
        Ok(response)
    }
    .instrument(span)
    .await
}

/// Finds the route and goes on to it; returns its pattern too.
async fn pass<'a, B: MessageBody + 'static>(
    app: &'a App,
    context: &RequestContext,
    mut request: ServiceRequest,
    next: Next<B>,
) -> (&'a str, Result<ServiceResponse<BoxBody>, Error>) {
    if header_bytes(request.headers()) > LONGEST_HEADERS {
        return (NO_ROUTE, Ok(request.error_response(Problem::Malformed("expected at most 32 KiB of headers"))));
    }
    match app.routes.find(request.method(), request.match_info().as_str()) {
        Found::Route(route) => {
            if request.method() == Method::HEAD {
                // The encoder remembers that the answer has no body.
                request.head_mut().method = Method::GET;
                request.extensions_mut().insert(HeadOnly);
            }
            let answer = match admit(app, context, route, &request).await {
                Ok(()) => idempotency::pass(app, route, request, next).await,
                Err(problem) => Ok(request.error_response(problem)),
            };
            (&route.pattern, answer)
        }
        Found::OtherMethods(allow) => (NO_ROUTE, Ok(request.error_response(Problem::MethodNotAllowed { allow }))),
        Found::Nothing => (NO_ROUTE, Ok(request.error_response(Problem::NotFound("path")))),
    }
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len().saturating_add(value.len())).sum()
}

fn context(app: &App, request: &ServiceRequest) -> RequestContext {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let trace = header("traceparent").and_then(|text| text.parse::<TraceParent>().ok());
    RequestContext {
        request_id: header("x-request-id").filter(|id| is_sane(id)).map_or_else(mint_request_id, ToOwned::to_owned),
        trace: trace.map_or_else(TraceParent::begin, |trace| trace.child()),
        dialect: if request.path().starts_with("/api/v2/") { Dialect::V2 } else { Dialect::V1 },
        address: client_address(app, request),
        user_agent: user_agent(header("user-agent").unwrap_or_default()),
    }
}

/// What is kept of the header: enough for a person to recognise a device by.
fn user_agent(header: &str) -> String {
    header.chars().filter(|c| !c.is_control()).take(256).collect()
}

/// A client's request id is taken over when it can do no harm in a log.
fn is_sane(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn mint_request_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The address that a rate limit counts: the peer's, or behind trusted proxies the rightmost that is not one of them.
fn client_address(app: &App, request: &ServiceRequest) -> IpAddr {
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip().to_canonical());
    if app.settings.is_trusted_proxy(peer) { forwarded_for(app, request.headers(), peer) } else { peer }
}

fn forwarded_for(app: &App, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").filter_map(|value| value.to_str().ok()).collect();
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
    let mut nearest = peer;
    for hop in hops {
        // What nobody can read ends the chain: everything left of it is the client's word.
        let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
        nearest = address.to_canonical();
        if !app.settings.is_trusted_proxy(nearest) {
            break;
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_that_could_forge_a_log_line_is_not_taken_over() {
        assert!(is_sane("0190f6a2-1f_A.b"));
        for id in ["", "a b", "a\n", "é", &"x".repeat(65), "<script>"] {
            assert!(!is_sane(id), "{id:?}");
        }
        assert!(is_sane(&mint_request_id()));
    }
}
