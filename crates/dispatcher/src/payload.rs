//! The body of a delivery, in the dialect of its webhook: `{"id", "event", "timestamp", "data"}`. Written once, when the
//! delivery is made, and signed as it is. Text of targets is bounded here; escaping it is for whoever shows it.
//!
//! To add an event: a line in each dialect's file, and its name in `picket_domain::WebhookEvent`.

mod text;
mod v1;
mod v2;

use picket_domain::{Dialect, Event, WebhookEvent};
use picket_store::deliveries::facts::Facts;
use serde::Serialize;

/// The largest body; the store refuses a larger one as well. Texts are cut so that no body comes near it.
pub const LARGEST_BODY_BYTES: usize = 64 * 1_024;

/// An event makes no body.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The facts are not those of such an event.
    #[error("expected facts that belong to `{0}`")]
    Facts(&'static str),
    /// The event was not numbered.
    #[error("expected an event with a number")]
    Unnumbered,
    /// It would be larger than [`LARGEST_BODY_BYTES`].
    #[error("expected a body of at most {LARGEST_BODY_BYTES} bytes")]
    TooLarge,
    /// It has no JSON form.
    #[error("expected a body that has a JSON form")]
    Json(#[from] serde_json::Error),
}

#[derive(Serialize)]
struct Envelope<D> {
    id: String,
    event: &'static str,
    timestamp: String,
    data: D,
}

/// The body in one dialect; `None` when the dialect does not speak of the event.
///
/// # Errors
/// When the event was not numbered, or the facts are of something else.
pub fn body(dialect: Dialect, event: &Event, facts: &Facts) -> Result<Option<Vec<u8>>, PayloadError> {
    let Some(name) = WebhookEvent::of(dialect, &event.body) else { return Ok(None) };
    let sequence = event.sequence.ok_or(PayloadError::Unnumbered)?;
    let body = match dialect {
        Dialect::V1 => encode(event, name, v1::data(event, name, facts, sequence)?),
        Dialect::V2 => encode(event, name, v2::data(event, name, facts, sequence)?),
    }?;
    if body.len() > LARGEST_BODY_BYTES { Err(PayloadError::TooLarge) } else { Ok(Some(body)) }
}

fn encode(event: &Event, name: WebhookEvent, data: impl Serialize) -> Result<Vec<u8>, PayloadError> {
    let envelope =
        Envelope { id: event.id.to_string(), event: name.name(), timestamp: text::timestamp(event.at), data };
    Ok(serde_json::to_vec(&envelope)?)
}

#[cfg(test)]
mod tests;
