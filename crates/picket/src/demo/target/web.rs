//! A web server that serves a site of constants. It reads no body, no file and no query.

use std::{convert::Infallible, io, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes},
    header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, SERVER, WWW_AUTHENTICATE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

/// The longest head of a request, in bytes; also the longest answer to TRACE.
const LONGEST_HEAD: usize = 16 * 1024;
const HEAD_WAIT: Duration = Duration::from_secs(10);

/// A site: what it is, and what it serves.
pub(super) struct Site {
    /// What is weak about it, for people.
    pub(super) weakness: &'static str,
    /// The `Server` header.
    pub(super) server: &'static str,
    /// The methods that OPTIONS tells of. TRACE is answered when it is among them.
    pub(super) allow: &'static str,
    /// Headers of every page; names in lower case.
    pub(super) headers: &'static [(&'static str, &'static str)],
    /// Asks for a password, with this challenge, and accepts none.
    pub(super) challenge: Option<&'static str>,
    /// What is served.
    pub(super) pages: &'static [Page],
}

/// A page.
pub(super) struct Page {
    pub(super) path: &'static str,
    pub(super) media_type: &'static str,
    pub(super) body: &'static str,
}

type Answer = Response<Full<Bytes>>;

/// Serves one connection.
pub(super) async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin, site: &'static Site) -> io::Result<()> {
    let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(site, &request)) });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(LONGEST_HEAD)
        // Scanners look for `Server`, not for `server`.
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

/// The answer to one request.
pub(super) fn answer(site: &Site, request: &Request<impl Body>) -> Answer {
    let mut answer = match (request.method(), site.challenge) {
        (_, Some(challenge)) => with_header(refusal(StatusCode::UNAUTHORIZED), WWW_AUTHENTICATE, challenge),
        (&Method::GET | &Method::HEAD | &Method::POST, None) => page(site, request.uri().path()),
        (&Method::OPTIONS, None) => with_header(Response::default(), ALLOW, site.allow),
        (&Method::TRACE, None) if site.allow.contains("TRACE") => trace(request),
        (&Method::PUT | &Method::DELETE, None) if site.allow.contains(request.method().as_str()) => {
            refusal(StatusCode::FORBIDDEN)
        }
        (_, None) => with_header(refusal(StatusCode::METHOD_NOT_ALLOWED), ALLOW, site.allow),
    };
    answer.headers_mut().insert(SERVER, HeaderValue::from_static(site.server));
    answer
}

fn page(site: &Site, path: &str) -> Answer {
    let Some(page) = site.pages.iter().find(|page| page.path == path) else {
        let is_folder = site.pages.iter().any(|page| page.path.strip_suffix('/') == Some(path));
        let folder = HeaderValue::from_str(&format!("{path}/")).ok().filter(|_| is_folder);
        let mut answer = refusal(if folder.is_some() { StatusCode::MOVED_PERMANENTLY } else { StatusCode::NOT_FOUND });
        answer.headers_mut().extend(folder.map(|folder| (LOCATION, folder)));
        return answer;
    };
    let mut answer = Response::new(Full::new(Bytes::from_static(page.body.as_bytes())));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(page.media_type));
    for (name, value) in site.headers {
        answer.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

fn refusal(status: StatusCode) -> Answer {
    let text = status.canonical_reason().unwrap_or("Error");
    let body = format!("<html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>\n");
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    with_header(answer, CONTENT_TYPE, "text/html")
}

/// The request again, which is the weakness (RFC 9110 §9.3.8).
fn trace(request: &Request<impl Body>) -> Answer {
    let mut echo = format!("TRACE {} HTTP/1.1\r\n", request.uri()).into_bytes();
    for (name, value) in request.headers() {
        echo.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    echo.extend_from_slice(b"\r\n");
    with_header(Response::new(Full::new(Bytes::from(echo))), CONTENT_TYPE, "message/http")
}

fn with_header(mut answer: Answer, name: HeaderName, value: &'static str) -> Answer {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
    answer
}
