//! Looks for the token that proves a target, now and where its owner was told to put it. It reads and stores nothing else,
//! follows no redirect (whoever the target sends us to proves nothing for it), and calls through the guard alone, so that no
//! name leads it inside.

use picket_domain::{
    FILE_PATH, LONGEST_FILE_BYTES, LONGEST_PAGE_BYTES, META_NAME, ProofDigest, ProofMethod, Target, TargetKind, cause,
    record_name,
};
use picket_outbound::{
    ErrorClass, HttpClient, Limits, LookupFailed, OutboundError, OutboundSettings, Resolver, Response,
};
use url::Url;

use crate::page::meta_contents;

/// Looks for tokens.
#[derive(Clone)]
pub struct Prover {
    resolver: Resolver,
    http: HttpClient,
    /// For plain HTTP, which the guard lets through to the operator's ranges alone.
    http_port: u16,
}

/// Why a target is not proven. A customer may read all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotProven {
    /// There is nothing of ours.
    #[error("expected the token there, found nothing of the kind")]
    Missing,
    /// There is a token, but not this one.
    #[error("expected the latest token there, found another one")]
    Another,
    /// The answer was no document.
    #[error("expected status 200, found {0}; redirects are not followed")]
    Status(u16),
    /// Nobody answered, or nobody who may be asked.
    #[error("expected an answer: {}", .0.text())]
    Unreachable(ErrorClass),
    /// The target cannot be proven so.
    #[error("expected a method that the target can be proven by")]
    Unsuited,
}

impl NotProven {
    /// What a program may match on.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Another => "another_token",
            Self::Status(_) => "unexpected_status",
            Self::Unreachable(class) => class.name(),
            Self::Unsuited => "unsuited",
        }
    }
}

impl Prover {
    /// One that asks `resolver` and calls by `http`.
    #[must_use]
    pub const fn new(resolver: Resolver, http: HttpClient, http_port: u16) -> Self {
        Self { resolver, http, http_port }
    }

    /// One of its own under these settings.
    ///
    /// # Errors
    /// When no resolver or no client can be made.
    pub fn open(settings: OutboundSettings) -> Result<Self, OutboundError> {
        let (resolver, http_port) = (Resolver::new(&settings)?, settings.proof_http_port);
        let http = HttpClient::with_resolver(settings, resolver.clone())?;
        Ok(Self::new(resolver, http, http_port))
    }

    /// Looks for the token of this digest.
    ///
    /// # Errors
    /// Why it was not found.
    pub async fn look(&self, target: &Target, method: ProofMethod, digest: ProofDigest) -> Result<(), NotProven> {
        if !method.suits(target) {
            return Err(NotProven::Unsuited);
        }
        let found = match method {
            ProofMethod::DnsTxt => self.texts(target).await?,
            ProofMethod::HttpFile => self.file(target).await?,
            ProofMethod::MetaTag => self.tags(target).await?,
        };
        let mut tokens = found.iter().filter_map(|text| method.token(text)).peekable();
        if tokens.peek().is_none() {
            return Err(NotProven::Missing);
        }
        if tokens.any(|token| ProofDigest::of(token) == digest) { Ok(()) } else { Err(NotProven::Another) }
    }

    async fn texts(&self, target: &Target) -> Result<Vec<String>, NotProven> {
        let host = target.host().ok_or(NotProven::Unsuited)?;
        match self.resolver.texts(&record_name(host)).await {
            Ok(texts) => Ok(texts),
            Err(LookupFailed::NoAddress | LookupFailed::TooMany) => Err(NotProven::Missing),
            Err(LookupFailed::Timeout) => Err(NotProven::Unreachable(ErrorClass::Timeout)),
            Err(error @ LookupFailed::Failed(_)) => {
                tracing::debug!(error = cause(&error), "a look for a proof failed");
                Err(NotProven::Unreachable(ErrorClass::Dns))
            }
        }
    }

    async fn file(&self, target: &Target) -> Result<Vec<String>, NotProven> {
        let answer = self.get(target, FILE_PATH, LONGEST_FILE_BYTES).await?;
        if answer.truncated {
            return Err(NotProven::Missing);
        }
        Ok(String::from_utf8(answer.body.to_vec()).ok().into_iter().collect())
    }

    async fn tags(&self, target: &Target) -> Result<Vec<String>, NotProven> {
        let answer = self.get(target, "/", LONGEST_PAGE_BYTES).await?;
        Ok(meta_contents(&answer.body, META_NAME))
    }

    /// The document over HTTPS; over plain HTTP where nobody listens there and the operator's ranges allow it.
    async fn get(&self, target: &Target, path: &str, most_bytes: usize) -> Result<Response, NotProven> {
        let limits = Limits::whole(most_bytes);
        let first = self.http.get(&url("https", None, target, path)?, limits).await;
        let answer = match first {
            Err(OutboundError::Connect(_) | OutboundError::RefusedAddress(_) | OutboundError::Tls(_)) => {
                let plain = self.http.get(&url("http", Some(self.http_port), target, path)?, limits).await;
                // What is not allowed at all says less than what went wrong before.
                let is_refused = matches!(plain, Err(OutboundError::RefusedUrl(_) | OutboundError::RefusedAddress(_)));
                if is_refused { first } else { plain }
            }
            other => other,
        };
        let answer = answer.map_err(|error| {
            tracing::debug!(error = cause(&error), "a look for a proof failed");
            NotProven::Unreachable(error.class())
        })?;
        if answer.status == 200 { Ok(answer) } else { Err(NotProven::Status(answer.status)) }
    }
}

fn url(scheme: &str, port: Option<u16>, target: &Target, path: &str) -> Result<Url, NotProven> {
    let host = match target.kind() {
        TargetKind::Host(name) => name.ascii().to_owned(),
        TargetKind::Address(std::net::IpAddr::V6(address)) => format!("[{address}]"),
        TargetKind::Address(address) => address.to_string(),
        TargetKind::Network(_) => return Err(NotProven::Unsuited),
    };
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://{host}{port}{path}").parse().map_err(|_| NotProven::Unsuited)
}
