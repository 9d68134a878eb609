//! One HTTP call, guarded and bounded.

use std::{
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};
use url::Url;

pub use hyper::Method;

use crate::{Guard, OutboundError, OutboundSettings, Resolver, dial::Dialer, guard::EndpointHost};

/// The most bytes of an answer's status line and headers.
const MOST_HEADER_BYTES: usize = 32 * 1_024;
/// The most headers of an answer.
const MOST_HEADERS: usize = 64;
/// The most bytes that are buffered of a connection.
const READ_BUFFER_BYTES: usize = 64 * 1_024;

/// How much of an answer's body is taken; then the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that are read at most.
    pub read_bytes: usize,
    /// Bytes of them that are kept.
    pub keep_bytes: usize,
}

impl Limits {
    /// For answers that nobody needs whole.
    pub const WEBHOOK: Self = Self { read_bytes: 64 * 1_024, keep_bytes: 16 * 1_024 };

    /// A whole body of at most this size.
    #[must_use]
    pub const fn whole(bytes: usize) -> Self {
        Self { read_bytes: bytes, keep_bytes: bytes }
    }
}

/// What to ask.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// Where.
    pub url: &'a Url,
    /// Further headers; `host`, `content-length`, `connection` and `user-agent` are set by the client.
    pub headers: Vec<(&'static str, String)>,
    /// The body; empty for none.
    pub body: Bytes,
    /// How much of the answer is wanted.
    pub limits: Limits,
}

/// What came back. Everything in it is the other side's and hostile.
#[derive(Debug, Clone)]
pub struct Response {
    /// The HTTP status; a redirect is an answer like others.
    pub status: u16,
    /// At most 64 headers in 32 KiB.
    pub headers: HeaderMap,
    /// The beginning of the body as it was sent, still compressed if it was.
    pub body: Bytes,
    /// Whether the body was longer than what was read.
    pub truncated: bool,
    /// Who answered; for the log alone.
    pub peer: SocketAddr,
}

impl Response {
    /// A header's first value, when it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A call that came to an end.
#[derive(Debug)]
pub struct Attempted {
    /// The address that was called; `None` when there was none that may be. For the log alone.
    pub peer: Option<IpAddr>,
    /// What came back.
    pub answer: Result<Response, OutboundError>,
}

/// The client. Cheap to clone; keeps no connection between calls, so that every call is judged anew.
#[derive(Clone)]
pub struct HttpClient {
    guard: Guard,
    resolver: Resolver,
    dialer: Dialer,
    settings: OutboundSettings,
}

impl HttpClient {
    /// The client of these settings. Reads the machine's certificate authorities, which takes some milliseconds.
    pub fn new(settings: OutboundSettings) -> Result<Self, OutboundError> {
        let resolver = Resolver::new(&settings)?;
        Self::with_resolver(settings, resolver)
    }

    /// The same with a resolver of the caller's.
    pub fn with_resolver(settings: OutboundSettings, resolver: Resolver) -> Result<Self, OutboundError> {
        Ok(Self { guard: Guard::new(&settings), resolver, dialer: Dialer::new(&settings)?, settings })
    }

    /// Whether the URL may be called now: everything but the call. For refusing a URL when a customer gives it.
    pub async fn vet(&self, url: &Url) -> Result<(), OutboundError> {
        let endpoint = self.guard.check_url(url)?;
        self.addresses(&endpoint).await.map(drop)
    }

    /// Sends a body and reads the beginning of the answer.
    pub async fn post(
        &self,
        url: &Url,
        headers: Vec<(&'static str, String)>,
        body: Bytes,
        limits: Limits,
    ) -> Result<Response, OutboundError> {
        self.send(Request { method: Method::POST, url, headers, body, limits }).await
    }

    /// Asks for a document.
    pub async fn get(&self, url: &Url, limits: Limits) -> Result<Response, OutboundError> {
        self.send(Request { method: Method::GET, url, headers: Vec::new(), body: Bytes::new(), limits }).await
    }

    /// One call, from the name to the last byte, within the total timeout.
    pub async fn send(&self, request: Request<'_>) -> Result<Response, OutboundError> {
        self.attempt(request).await.answer
    }

    /// The same, and who was called even when nobody answered.
    #[tracing::instrument(name = "outbound.http.send", skip_all)]
    pub async fn attempt(&self, request: Request<'_>) -> Attempted {
        let deadline = Instant::now() + self.settings.total_timeout();
        let peer = Mutex::new(None);
        let answer = timeout_at(deadline, self.exchange(request, &peer)).await;
        let answer = answer.unwrap_or(Err(OutboundError::Timeout { phase: "call" }));
        if let Err(error) = &answer {
            tracing::debug!(error = picket_domain::cause(error), "a call failed");
        }
        Attempted { peer: peer.into_inner().unwrap_or_else(PoisonError::into_inner), answer }
    }

    async fn exchange(&self, request: Request<'_>, called: &Mutex<Option<IpAddr>>) -> Result<Response, OutboundError> {
        let note = |peer: IpAddr| *called.lock().unwrap_or_else(PoisonError::into_inner) = Some(peer);
        let endpoint = self.guard.check_url(request.url)?;
        let sockets = self.addresses(&endpoint).await?;
        // Connecting may fail; then the first of those that were tried is what there is to tell.
        sockets.first().map(SocketAddr::ip).into_iter().for_each(note);
        let limits = request.limits;
        let message = message(request, &endpoint.path_and_query, &endpoint.authority)?;
        let deadline = Instant::now() + self.settings.connect_timeout();
        let (connection, peer) = self.dialer.dial(&self.guard, &endpoint, &sockets, deadline).await?;
        note(peer.ip());
        let (mut sender, connection) = http1::Builder::new()
            .max_headers(MOST_HEADERS)
            .max_header_size(MOST_HEADER_BYTES)
            .max_buf_size(READ_BUFFER_BYTES)
            .handshake(TokioIo::new(connection))
            .await?;
        let mut answer = pin!(async move {
            let response = sender.send_request(message).await?;
            read(response, limits, peer).await
        });
        // Driven here and not in a task of its own: when this call ends, for whatever reason, the socket is closed.
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            _ = connection => answer.await,
        }
    }

    /// The addresses of an endpoint, all of them judged.
    async fn addresses(&self, endpoint: &crate::Endpoint) -> Result<Vec<SocketAddr>, OutboundError> {
        let found = match &endpoint.host {
            EndpointHost::Address(address) => vec![*address],
            EndpointHost::Name(name) => self.resolver.resolve(name).await?,
        };
        self.guard.check_addresses(endpoint, &found)
    }
}

fn message(
    request: Request<'_>,
    path_and_query: &str,
    authority: &str,
) -> Result<hyper::Request<Full<Bytes>>, OutboundError> {
    let mut builder = hyper::Request::builder()
        .method(request.method)
        .uri(path_and_query)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, concat!("Picket/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close");
    for (name, value) in request.headers {
        builder = builder.header(name, value);
    }
    builder.body(Full::new(request.body)).map_err(|_| OutboundError::RefusedUrl("it makes no http request"))
}

async fn read(
    response: hyper::Response<Incoming>,
    limits: Limits,
    peer: SocketAddr,
) -> Result<Response, OutboundError> {
    let (head, mut body) = response.into_parts();
    let mut kept = BytesMut::new();
    let mut read_bytes = 0_usize;
    let mut truncated = false;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let wanted = data.len().min(limits.read_bytes.saturating_sub(read_bytes));
        let room = limits.keep_bytes.saturating_sub(kept.len());
        kept.extend_from_slice(data.get(..wanted.min(room)).unwrap_or_default());
        read_bytes = read_bytes.saturating_add(wanted);
        if wanted < data.len() {
            truncated = true;
            break;
        }
    }
    Ok(Response { status: head.status.as_u16(), headers: head.headers, body: kept.freeze(), truncated, peer })
}

#[cfg(test)]
mod tests;
