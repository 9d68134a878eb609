//! One attempt to deliver: sign, send, and say what follows. Runs outside of any transaction.

use std::{net::IpAddr, time::Instant};

use bytes::Bytes;
use picket_domain::{ClaimedDelivery, DeliveryAttempt, Jitter, Outcome, Verdict, WebhookSecret, parse_retry_after};
use picket_kit::{Clock, Sealer};
use picket_outbound::{Attempted, ErrorClass, HttpClient, Limits, Method, Request, Response};
use picket_store::deliveries::lease::Finished;

use crate::{DispatchError, error::cause, signature};

/// What an attempt needs; cheap to clone.
#[derive(Clone)]
pub(crate) struct Attempter {
    pub(crate) http: HttpClient,
    pub(crate) sealer: Sealer,
    pub(crate) clock: Clock,
}

impl Attempter {
    /// Tries once. Never fails: a failure is an attempt too.
    pub(crate) async fn attempt(&self, delivery: &ClaimedDelivery) -> Finished {
        let (started_at, begun) = (self.clock.now(), Instant::now());
        let (peer, answer) = self.send(delivery).await;
        let (outcome, mut attempt) = match answer {
            Ok(response) => self.answered(&response),
            Err(class) => (Outcome::Unanswered, unanswered(class)),
        };
        attempt.attempt = delivery.fence.attempt;
        attempt.started_at = started_at;
        attempt.duration_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        let verdict = Verdict::of(outcome, delivery.failures, Jitter(rand::random()));
        metrics::histogram!("picket_delivery_attempt_seconds").record(begun.elapsed().as_secs_f64());
        tracing::debug!(
            http.status = attempt.status,
            error.class = attempt.error_class,
            hold_seconds = outcome.hold().map(|hold| hold.as_secs()),
            duration_ms = attempt.duration_ms,
            "an attempt ended"
        );
        Finished { attempt, verdict, hold: outcome.hold(), peer }
    }

    /// Who was called, and the answer.
    async fn send(&self, delivery: &ClaimedDelivery) -> (Option<IpAddr>, Result<Response, ErrorClass>) {
        let secret = match self.secret(delivery) {
            Ok(secret) => secret,
            Err(error) => {
                tracing::error!(error = cause(&error), "a delivery cannot be signed");
                return (None, Err(ErrorClass::Internal));
            }
        };
        let headers = signature::headers(delivery, &[secret], self.clock.now());
        let body = Bytes::copy_from_slice(&delivery.body);
        let url = delivery.url.url();
        let request = Request { method: Method::POST, url, headers, body, limits: Limits::WEBHOOK };
        let Attempted { peer, answer } = self.http.attempt(request).await;
        let answer = answer.map_err(|error| {
            let class = error.class();
            metrics::counter!("picket_delivery_errors_total", "class" => class.name()).increment(1);
            class
        });
        (peer, answer)
    }

    fn secret(&self, delivery: &ClaimedDelivery) -> Result<WebhookSecret, DispatchError> {
        let context = WebhookSecret::context(delivery.organization_id, delivery.webhook_id);
        let opened = self.sealer.open(&delivery.sealed_secret, &context)?;
        WebhookSecret::from_slice(&opened).ok_or(DispatchError::SecretLength)
    }

    fn answered(&self, response: &Response) -> (Outcome, DeliveryAttempt) {
        let hint = response.header("retry-after").and_then(|value| parse_retry_after(value, self.clock.now()));
        let outcome = Outcome::Answered { status: response.status, retry_after: hint };
        let attempt =
            DeliveryAttempt { status: Some(response.status), error: None, response: readable(response), ..blank() };
        (outcome, attempt)
    }
}

fn unanswered(class: ErrorClass) -> DeliveryAttempt {
    DeliveryAttempt { error: Some(class.text().to_owned()), error_class: Some(class.name().to_owned()), ..blank() }
}

fn blank() -> DeliveryAttempt {
    DeliveryAttempt {
        attempt: 0,
        started_at: jiff::Timestamp::UNIX_EPOCH,
        duration_ms: 0,
        status: None,
        error: None,
        error_class: None,
        response: None,
    }
}

/// The body as text for a log: no control characters but line ends and tabs, which also keeps NUL out of Postgres.
fn readable(response: &Response) -> Option<String> {
    if response.body.is_empty() {
        return None;
    }
    let shown = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    Some(String::from_utf8_lossy(&response.body).chars().map(shown).collect())
}
