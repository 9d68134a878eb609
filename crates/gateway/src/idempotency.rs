//! Requests that a client may repeat under a key (`docs/contract.md` §9): what was created once is answered again, and not
//! created again. Which routes take a key is in the route table, so that a new one cannot be forgotten.
//!
//! An answer is kept when something came of the request (2xx), in the very transaction that makes what it speaks of
//! ([`keep`]), so that a gateway which dies leaves either both or nothing. A request whose key was taken over meanwhile
//! makes nothing: its transaction is rolled back. Anything else gives the key back: nothing was created, and
//! the client may put its request right, wait, or sign in anew, under the same key.
//!
//! Answers of routes that create nothing (an estimate, a look) are kept when they are given; after a death in between such
//! a request runs again.
//!
//! A replay is worth what its caller may now: whoever lost a permission that the request demanded gets 403, and
//! so does a person who signed in too long ago for it.

mod answer;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderMap},
    middleware::Next,
};
use jiff::SignedDuration;
use picket_domain::Permission;
use picket_store::{
    Tx,
    idempotency::{self, Claimed, KeyFence, Place, Use},
};
use sha2::{Digest, Sha256};
use tracing::Instrument;

use self::answer::{Answer, Demands};
use crate::{App, Caller, Problem, body::Spool, imports, route_table::Route};

/// The header, as it is documented.
pub(crate) const HEADER: &str = "Idempotency-Key";
/// The longest key, in bytes.
pub(crate) const LONGEST: usize = 255;
/// How long a key stands for its request.
const LIFETIME: SignedDuration = SignedDuration::from_hours(24);
/// How long one request may take before its gateway counts as dead; longer than any may take.
const LEASE: Duration = Duration::from_secs(60);

tokio::task_local! {
    /// The request under a key that is in flight.
    static KEYED: Rc<Keyed>;
}

/// Notes that the request in flight demanded a permission; every [`Caller::may`] calls it.
pub(crate) fn note(permission: Permission) {
    // Most requests have no key, and then there is nowhere to note it.
    let _noted = KEYED.try_with(|keyed| keyed.demanded.borrow_mut().permissions.insert(permission));
}

/// Notes that the request in flight demanded a person who has signed in lately; every [`Caller::fresh`] calls it.
pub(crate) fn note_fresh() {
    let _noted = KEYED.try_with(|keyed| keyed.demanded.borrow_mut().fresh = true);
}

/// Keeps the answer of the request in flight in the transaction that makes what it speaks of; every create ends its
/// transaction with it. Does nothing without a key.
///
/// # Errors
/// [`Problem::IdempotencyInFlight`] when the key was taken over meanwhile: the transaction must not commit. When the
/// database refuses.
pub(crate) async fn keep(app: &App, tx: &Tx<'_>, response: HttpResponse) -> Result<HttpResponse, Problem> {
    let Ok(keyed) = KEYED.try_with(Rc::clone) else { return Ok(response) };
    let demanded = keyed.demanded.borrow().clone();
    let (response, answer) = Answer::of(response, demanded).await;
    // No create says as much; and one whose answer is not kept would be repeated.
    let Some(answer) = answer else { return Err(Problem::internal(TooLarge)) };
    let sealed = answer.seal(app, &keyed.place)?;
    if !idempotency::finish(tx, &keyed.place, keyed.fence, answer.status(), &sealed).await? {
        return Err(Problem::IdempotencyInFlight);
    }
    keyed.is_kept.set(true);
    Ok(response)
}

/// An answer that cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("expected an answer that can be kept under its key")]
struct TooLarge;

/// A request under a key that is this gateway's.
struct Keyed {
    place: Place,
    fence: KeyFence,
    /// What it has demanded of its caller so far.
    demanded: RefCell<Demands>,
    /// Whether its answer was stored beside what it made.
    is_kept: Cell<bool>,
}

/// The same with what is needed to end it.
struct Held {
    app: App,
    keyed: Rc<Keyed>,
}

/// Goes on to the handler, or answers as before.
pub(crate) async fn pass<B: MessageBody + 'static>(
    app: &App,
    route: &Route,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match key(request.headers()) {
        Ok(Some(key)) if route.takes_key => {
            // Runs to its end even when the client goes away: it will come back with the same key and must find the answer.
            let work = keyed(app.clone(), route.pattern.clone(), key, request, next);
            actix_web::rt::spawn(work.in_current_span()).await.map_err(Problem::internal)?
        }
        Err(problem) if route.takes_key => Ok(request.error_response(problem)),
        Ok(_) | Err(_) => next.call(request).await.map(ServiceResponse::map_into_boxed_body),
    }
}

/// The key of a request: one header of visible ASCII.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(HEADER);
    let (Some(value), None) = (values.next(), values.next()) else {
        return if headers.contains_key(HEADER) { Err(no_key()) } else { Ok(None) };
    };
    let bytes = value.as_bytes();
    if !(1..=LONGEST).contains(&bytes.len()) || !bytes.iter().all(u8::is_ascii_graphic) {
        return Err(no_key());
    }
    String::from_utf8(bytes.to_vec()).map(Some).map_err(|_| no_key())
}

fn no_key() -> Problem {
    Problem::field(HEADER, "invalid_value", "expected one key of 1 to 255 visible ASCII characters")
}

async fn keyed<B: MessageBody + 'static>(
    app: App,
    pattern: String,
    key: String,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(caller) = request.extensions().get::<Caller>().cloned() else {
        return Ok(request.error_response(Problem::Unauthenticated));
    };
    let place = Place {
        organization_id: caller.organization_id,
        subject: caller.label(),
        route: format!("POST {pattern}"),
        key,
    };
    let limit_bytes = imports::body_limit(&app, &place.route, &caller);
    let claimed = match digest(&mut request, limit_bytes).await {
        Ok(digest) => claim(&app, &place, digest).await,
        Err(problem) => Err(problem),
    };
    match claimed {
        Ok(Claimed::Yours(fence)) => {
            let keyed = Keyed { place, fence, demanded: RefCell::default(), is_kept: Cell::new(false) };
            Held { app, keyed: Rc::new(keyed) }.run(request, next).await
        }
        Ok(Claimed::Done(sealed)) => {
            let now = app.clock.now();
            let replayed = Answer::open(&sealed, &app, &place).and_then(|answer| answer.replay(&caller, now));
            Ok(match replayed {
                Ok(response) => request.into_response(response),
                Err(problem) => request.error_response(problem),
            })
        }
        Ok(Claimed::InFlight) => Ok(request.error_response(Problem::IdempotencyInFlight)),
        Ok(Claimed::Mismatch) => Ok(request.error_response(Problem::IdempotencyMismatch)),
        Err(problem) => Ok(request.error_response(problem)),
    }
}

/// What makes the request what it is. Leaves its body in it, to be read again.
async fn digest(request: &mut ServiceRequest, limit_bytes: u64) -> Result<[u8; 32], Problem> {
    let payload = request.take_payload();
    let body = Spool::read(request.request(), payload, limit_bytes).await?;
    let mut hasher = Sha256::new();
    let sha256 = body.sha256();
    for part in
        [request.method().as_str().as_bytes(), request.path().as_bytes(), request.query_string().as_bytes(), &sha256]
    {
        hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(part);
    }
    request.set_payload(body.into_payload()?);
    Ok(hasher.finalize().into())
}

async fn claim(app: &App, place: &Place, digest: [u8; 32]) -> Result<Claimed, Problem> {
    let now = app.clock.now();
    let expires_at = now.saturating_add(LIFETIME).map_err(Problem::internal)?;
    app.db
        .run("claim_idempotency_key", place.organization_id, async |tx| {
            Ok(idempotency::claim(tx, Use { place, digest, now, expires_at, lease: LEASE }).await?)
        })
        .await
}

impl Held {
    /// Runs the handler.
    async fn run<B: MessageBody + 'static>(
        self,
        mut request: ServiceRequest,
        next: Next<B>,
    ) -> Result<ServiceResponse<BoxBody>, Error> {
        // The answer is kept as it is, not as one client likes it packed.
        request.headers_mut().remove(header::ACCEPT_ENCODING);
        let answer = KEYED.scope(Rc::clone(&self.keyed), next.call(request)).await;
        self.settle(answer).await
    }

    /// Keeps the answer where that was not done yet, or gives the key back; one that was kept by a transaction that did
    /// commit has no lease any more and stays.
    async fn settle<B: MessageBody + 'static>(
        &self,
        answer: Result<ServiceResponse<B>, Error>,
    ) -> Result<ServiceResponse<BoxBody>, Error> {
        let response = match answer {
            Ok(response) if response.status().is_success() && self.keyed.is_kept.get() => {
                picket_faults::point("gateway::before_answer_kept");
                return Ok(response.map_into_boxed_body());
            }
            Ok(response) if response.status().is_success() => response.map_into_boxed_body(),
            other => {
                self.release().await;
                return other.map(ServiceResponse::map_into_boxed_body);
            }
        };
        picket_faults::point("gateway::before_answer_kept");
        let (request, response) = response.into_parts();
        let (response, answer) = Answer::of(response, self.keyed.demanded.take()).await;
        match answer {
            Some(answer) => self.finish(&answer).await,
            None => {
                tracing::warn!(
                    route = self.keyed.place.route,
                    "an answer is too large to be kept for its idempotency key"
                );
                self.release().await;
            }
        }
        Ok(ServiceResponse::new(request, response))
    }

    /// Keeps the answer. When that fails the client has its answer all the same, and its key stays in flight for a minute.
    async fn finish(&self, answer: &Answer) {
        let stored = async {
            let sealed = answer.seal(&self.app, &self.keyed.place)?;
            let work = async |tx: &picket_store::Tx<'_>| {
                Ok::<_, Problem>(
                    idempotency::finish(tx, &self.keyed.place, self.keyed.fence, answer.status(), &sealed).await?,
                )
            };
            self.app.db.run("keep_answer", self.keyed.place.organization_id, work).await
        };
        match stored.await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(route = self.keyed.place.route, "an idempotency key was taken over before its answer")
            }
            Err(problem) => {
                tracing::error!(
                    route = self.keyed.place.route,
                    error = picket_domain::cause(&problem),
                    "an answer was not kept"
                );
            }
        }
    }

    async fn release(&self) {
        let work =
            async |tx: &picket_store::Tx<'_>| idempotency::release(tx, &self.keyed.place, self.keyed.fence).await;
        if let Err(error) = self.app.db.run("release_idempotency_key", self.keyed.place.organization_id, work).await {
            tracing::warn!(error = picket_domain::cause(&error), "an idempotency key stays in flight for a minute");
        }
    }
}
