//! Looks for the token that proves a target, now and where its owner was told to put it. It reads and stores nothing else,
//! follows no redirect (whoever the target sends us to proves nothing for it), and calls through the guard alone, so that no
//! name leads it inside.

use std::time::Duration;

use futures_util::future::join_all;
use picket_domain::{
    FILE_PATH, Grounds, LONGEST_FILE_BYTES, LONGEST_PAGE_BYTES, META_NAME, ProofDigest, ProofId, ProofMethod,
    StaleProof, Target, TargetKind, cause, record_name,
};
use picket_outbound::{
    ErrorClass, HttpClient, Limits, LookupFailed, OutboundError, OutboundSettings, Resolver, Response,
};
use url::Url;

use crate::page::meta_contents;

/// How long a create, or a tick of a schedule, waits for a look: others wait behind a tick.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most looks of one create; a name has three methods, and few names above it.
const MOST_LOOKS: usize = 8;

/// Looks for tokens.
#[derive(Clone)]
pub struct Prover {
    resolver: Resolver,
    http: HttpClient,
    /// For plain HTTP, which the guard lets through to the operator's ranges alone.
    http_port: u16,
}

/// What a look at stale proofs came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// What still allows a scan.
    pub grounds: Grounds,
    /// Proofs that were found, with the digest of the token.
    pub found: Vec<(ProofId, ProofDigest)>,
    /// Proofs that are not there any more, and why.
    pub missing: Vec<(StaleProof, NotProven)>,
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
    /// Whether it says that the token is not there, rather than that nobody could look.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        match self {
            Self::Missing | Self::Another | Self::Unsuited => true,
            Self::Status(status) => *status < 500 && *status != 408 && *status != 429,
            Self::Unreachable(class) => matches!(class, ErrorClass::RefusedAddress | ErrorClass::RefusedUrl),
        }
    }

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

    /// Looks once for the proofs that nobody has seen in a day, where a scan of `asked` would rely on nothing else. Those that
    /// are not there any more are taken out of the grounds; what was found and what is missing is returned, to be noted. Where
    /// nobody answers, a proof stands that the last look found, and one that it did not find does not; neither is noted.
    pub async fn look_again(&self, asked: &str, grounds: Grounds) -> Looked {
        let mut looked = Looked { grounds, found: Vec::new(), missing: Vec::new() };
        let Ok(asked) = Target::parse(asked) else { return looked };
        let stale: Vec<StaleProof> = looked.grounds.to_look_for(&asked).cloned().collect();
        let looks = stale.iter().take(MOST_LOOKS).map(|one| self.look_in_time(one));
        let looks = join_all(looks).await;
        for (place, one) in stale.into_iter().enumerate() {
            match looks.get(place) {
                Some(Ok(())) => {
                    looked.found.push((one.id, one.digest));
                    continue;
                }
                Some(Err(why)) if why.is_definite() => looked.missing.push((one, *why)),
                Some(Err(why)) if !one.was_missing => {
                    tracing::info!(proof.id = %one.id, why = why.code(), "nobody could look for a proof, it stands");
                    continue;
                }
                Some(Err(_)) | None => looked.grounds = looked.grounds.without(one.id),
            }
        }
        for (one, _) in &looked.missing {
            looked.grounds = looked.grounds.without(one.id);
        }
        looked
    }

    async fn look_in_time(&self, one: &StaleProof) -> Result<(), NotProven> {
        let look = tokio::time::timeout(PATIENCE, self.look(&one.target, one.method, one.digest)).await;
        look.unwrap_or(Err(NotProven::Unreachable(ErrorClass::Timeout)))
    }

    async fn texts(&self, target: &Target) -> Result<Vec<String>, NotProven> {
        let host = target.host().ok_or(NotProven::Unsuited)?;
        match self.resolver.texts(&record_name(host)).await {
            Ok(texts) => Ok(texts),
            Err(LookupFailed::NoAddress | LookupFailed::TooMany | LookupFailed::TooManyAliases) => {
                Err(NotProven::Missing)
            }
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
