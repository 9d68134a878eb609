//! The listener that sends plain requests to TLS (`docs/contract.md` §10).

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{HOST, LOCATION},
};

/// Sends a plain request to the same path over TLS.
pub(super) fn redirect(request: &HttpRequest, port: u16) -> HttpResponse {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).and_then(name);
    let Some(host) = host else { return HttpResponse::BadRequest().finish() };
    let authority = if port == 443 { host.to_owned() } else { format!("{host}:{port}") };
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, format!("https://{authority}{}", request.uri())))
        .finish()
}

/// The host of an authority without its port, when it is one and nothing else.
fn name(authority: &str) -> Option<&str> {
    let end = authority.rfind(']').map_or(0, |end| end.saturating_add(1));
    let host = match authority.get(end..)?.find(':') {
        Some(colon) => authority.get(..end.saturating_add(colon))?,
        None => authority,
    };
    let is_host = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-[]:".contains(&byte));
    is_host.then_some(host)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_path_and_the_query_survive_the_way_to_tls() {
        let request =
            TestRequest::with_uri("/api/v1/scans?page=2").insert_header((HOST, "api.example:80")).to_http_request();
        let answer = redirect(&request, 443);
        assert_eq!(answer.status(), 308);
        assert_eq!(answer.headers().get(LOCATION).unwrap(), "https://api.example/api/v1/scans?page=2");
        let other = redirect(&request, 8443);
        assert_eq!(other.headers().get(LOCATION).unwrap(), "https://api.example:8443/api/v1/scans?page=2");
    }

    #[test]
    fn a_host_that_is_none_is_not_repeated() {
        assert_eq!(name("[::1]:80"), Some("[::1]"));
        assert_eq!(name("[::1]"), Some("[::1]"));
        for authority in ["", ":80", "a/b", "a@b", "a b", "é"] {
            assert_eq!(name(authority), None, "{authority}");
        }
    }
}
