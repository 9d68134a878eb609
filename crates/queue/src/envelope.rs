//! The bytes of a message: an event's identity and its ids, versioned. Received bytes are hostile like any input.

use picket_domain::{Event, EventBody, EventId, OrganizationId};
use serde::{Deserialize, Serialize};

/// A larger message is not one of ours.
const MAX_BYTES: usize = 64 * 1024;

/// An event as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The form of the message; receivers refuse what they do not know.
    pub version: u8,
    /// The event's identity.
    pub id: EventId,
    /// Whose event it is.
    pub organization_id: OrganizationId,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
    /// The trace that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// Bytes that are no message of ours.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Longer than any message of ours.
    #[error("expected at most {MAX_BYTES} bytes")]
    Size,
    /// Not the JSON that was expected.
    #[error("expected a message of version 1")]
    Json(#[from] serde_json::Error),
    /// A version that this program does not know.
    #[error("expected version 1, not {0}")]
    Version(u8),
}

impl Envelope {
    const VERSION: u8 = 1;

    /// What travels of an event.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        Self {
            version: Self::VERSION,
            id: event.id,
            organization_id: event.organization_id,
            body: event.body.clone(),
            traceparent: event.traceparent.clone(),
        }
    }

    /// The bytes.
    ///
    /// # Errors
    /// Never in practice: ids and names always have a JSON form.
    pub fn encode(&self) -> Result<Vec<u8>, EnvelopeError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Reads bytes that came from the broker.
    ///
    /// # Errors
    /// When they are no message of ours.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > MAX_BYTES {
            return Err(EnvelopeError::Size);
        }
        let envelope: Self = serde_json::from_slice(bytes)?;
        if envelope.version == Self::VERSION { Ok(envelope) } else { Err(EnvelopeError::Version(envelope.version)) }
    }
}

#[cfg(test)]
mod tests {
    use picket_domain::{Pool, ScanId, TaskId, TaskQueued};

    use super::*;

    fn envelope() -> Envelope {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let task = TaskQueued { task_id: TaskId::mint(now), scan_id: ScanId::mint(now), pool: Pool::Net, attempt: 1 };
        Envelope {
            version: 1,
            id: EventId::mint(now),
            organization_id: OrganizationId::mint(now),
            body: EventBody::TaskQueued(task),
            traceparent: None,
        }
    }

    #[test]
    fn a_message_survives_the_way() {
        let envelope = envelope();
        assert_eq!(Envelope::decode(&envelope.encode().unwrap()).unwrap(), envelope);
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let newer = Envelope { version: 2, ..envelope() }.encode().unwrap();
        assert!(matches!(Envelope::decode(&newer), Err(EnvelopeError::Version(2))));
        assert!(matches!(Envelope::decode(b"{}"), Err(EnvelopeError::Json(_))));
        assert!(matches!(Envelope::decode(&vec![b' '; MAX_BYTES + 1]), Err(EnvelopeError::Size)));
    }
}
