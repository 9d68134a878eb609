//! One form of each path: both prefixes (`docs/contract.md` §1), the hosts where v1's prefix means v2 (§2), no slash at
//! the end.

use actix_web::{
    dev::{Path, ServiceRequest, Url},
    http::{Uri, uri::PathAndQuery},
};

use crate::{App, route_table::RouteTable};

/// Rewrites the request's path before routes are looked at.
pub(super) fn rewrite(app: &App, request: &mut ServiceRequest) {
    let is_v2_host = host(app, request).is_some_and(|host| app.settings.is_v2_host(&host));
    let Some(path) = canonical(request.uri().path(), is_v2_host, &app.routes) else { return };
    let Some(uri) = with_path(request.uri(), &path) else { return };
    *request.match_info_mut() = Path::new(Url::new(uri.clone()));
    request.head_mut().uri = uri;
}

/// The host that the client meant.
fn host(app: &App, request: &ServiceRequest) -> Option<String> {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let forwarded =
        request.headers().get("x-forwarded-host").filter(|_| peer.is_some_and(|ip| app.settings.is_trusted_proxy(ip)));
    let direct = request.headers().get("host");
    let value = forwarded.or(direct)?.to_str().ok()?;
    Some(value.rsplit(',').next().unwrap_or(value).trim().to_owned())
}

/// The canonical form of a path, when it is another.
fn canonical(path: &str, is_v2_host: bool, routes: &RouteTable) -> Option<String> {
    let trimmed = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let short = ["/v1/", "/v2/"].iter().any(|prefix| trimmed.starts_with(prefix));
    let long = match trimmed {
        "/health" | "/ready" => format!("/api/v1{trimmed}"),
        _ if short => format!("/api{trimmed}"),
        "" => "/".to_owned(),
        _ => trimmed.to_owned(),
    };
    let in_v2 = long.strip_prefix("/api/v1/").filter(|_| is_v2_host).map(|rest| format!("/api/v2/{rest}"));
    let chosen = in_v2.filter(|path| routes.has_path(path)).unwrap_or(long);
    (chosen != path).then_some(chosen)
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let text = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::from_maybe_shared(text).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> RouteTable {
        RouteTable::new(&crate::openapi())
    }

    #[test]
    fn both_prefixes_and_a_trailing_slash_reach_the_same_route() {
        let form = |path| canonical(path, false, &routes());
        assert_eq!(form("/v1/tools").as_deref(), Some("/api/v1/tools"));
        assert_eq!(form("/v2/tools/").as_deref(), Some("/api/v2/tools"));
        assert_eq!(form("/api/v1/tools"), None);
        assert_eq!(form("/"), None);
        assert_eq!(form("//").as_deref(), Some("/"));
        assert_eq!(form("/v10/tools"), None);
        assert_eq!(form("/health").as_deref(), Some("/api/v1/health"));
    }

    #[test]
    fn on_a_v2_host_the_first_version_means_the_second() {
        let form = |path| canonical(path, true, &routes());
        assert_eq!(form("/api/v1/tools").as_deref(), Some("/api/v2/tools"));
        assert_eq!(form("/v1/tools").as_deref(), Some("/api/v2/tools"));
        assert_eq!(form("/api/v1/nothing-of-ours"), None);
    }

    #[test]
    fn the_query_is_kept() {
        let uri: Uri = "/v1/tools?page=1".parse().unwrap();
        assert_eq!(with_path(&uri, "/api/v1/tools").unwrap().to_string(), "/api/v1/tools?page=1");
    }
}
