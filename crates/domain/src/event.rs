//! Everything that processes tell each other and the world. The name of an event is given here and nowhere else.
//! Messages carry ids; receivers read the rest from the store. To add an event: a line in `events!`, and a line per
//! dialect in the dispatcher's payloads when it is public.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{EventId, FindingId, OrganizationId, Pool, ReportId, ScanId, Severity, TaskId};

/// An event as it is stored, published and delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Identity; consumers deduplicate on it.
    pub id: EventId,
    /// Whose event it is.
    pub organization_id: OrganizationId,
    /// Its number in the organization, from 1, without gaps; public events get theirs when they are relayed.
    pub sequence: Option<i64>,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub body: EventBody,
    /// The trace that caused it (W3C `traceparent`).
    pub traceparent: Option<String>,
}

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident($data:ty) = $name:literal, $public:literal;)*) => {
        /// What happened, with what a receiver needs to look the rest up.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "event", content = "data")]
        pub enum EventBody {
            $($(#[$doc])* #[serde(rename = $name)] $variant($data),)*
        }

        impl EventBody {
            /// The names of all events, in the order of this file.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// The name; also the routing key on the broker (see `routing_key`).
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            /// Whether webhooks may hear of it; public events are numbered.
            #[must_use]
            pub const fn is_public(&self) -> bool {
                match self {
                    $(Self::$variant(_) => $public,)*
                }
            }
        }
    };
}

events! {
    /// A scan was accepted.
    ScanCreated(ScanChanged) = "scan.created", true;
    /// A worker began the first task of the scan.
    ScanStarted(ScanChanged) = "scan.started", true;
    /// The scan was paused.
    ScanPaused(ScanChanged) = "scan.paused", true;
    /// The scan goes on after a pause.
    ScanResumed(ScanChanged) = "scan.resumed", true;
    /// The scan ended and its findings are stored.
    ScanCompleted(ScanChanged) = "scan.completed", true;
    /// The scan ended without a result.
    ScanFailed(ScanChanged) = "scan.failed", true;
    /// The scan was stopped by a client.
    ScanCancelled(ScanChanged) = "scan.cancelled", true;
    /// A finding appeared that the organization did not know.
    FindingFound(FindingFound) = "finding.found", true;
    /// A report was rendered.
    ReportGenerated(ReportChanged) = "report.generated", true;
    /// A report waits for the renderer.
    ReportRequested(ReportChanged) = "report.requested", false;
    /// A task was admitted and waits for a worker.
    TaskQueued(TaskQueued) = "task.queued", false;
}

impl EventBody {
    /// The key under which the broker routes it: the name, and for a task its pool.
    #[must_use]
    pub fn routing_key(&self) -> String {
        match self {
            Self::TaskQueued(task) => format!("{}.{}", self.name(), task.pool.name()),
            Self::ScanCreated(_)
            | Self::ScanStarted(_)
            | Self::ScanPaused(_)
            | Self::ScanResumed(_)
            | Self::ScanCompleted(_)
            | Self::ScanFailed(_)
            | Self::ScanCancelled(_)
            | Self::FindingFound(_)
            | Self::ReportGenerated(_)
            | Self::ReportRequested(_) => self.name().to_owned(),
        }
    }

    /// The scan that it is about, when it is about one.
    #[must_use]
    pub const fn scan_id(&self) -> Option<ScanId> {
        match self {
            Self::ScanCreated(scan)
            | Self::ScanStarted(scan)
            | Self::ScanPaused(scan)
            | Self::ScanResumed(scan)
            | Self::ScanCompleted(scan)
            | Self::ScanFailed(scan)
            | Self::ScanCancelled(scan) => Some(scan.scan_id),
            Self::FindingFound(finding) => Some(finding.scan_id),
            Self::TaskQueued(task) => Some(task.scan_id),
            Self::ReportGenerated(_) | Self::ReportRequested(_) => None,
        }
    }
}

/// A scan reached a state. What a payload says beyond this is read from the scan when the delivery is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanChanged {
    /// The scan.
    pub scan_id: ScanId,
    /// Why, in words fit for the client, when the state needs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A finding that is new to the organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingFound {
    /// The finding.
    pub finding_id: FindingId,
    /// The scan that saw it first.
    pub scan_id: ScanId,
    /// How bad it was then.
    pub severity: Severity,
}

/// A report reached a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportChanged {
    /// The report.
    pub report_id: ReportId,
}

/// A task was admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskQueued {
    /// The task.
    pub task_id: TaskId,
    /// Its scan.
    pub scan_id: ScanId,
    /// The queue it goes to.
    pub pool: Pool,
    /// The attempt that the claim must find; another number means that the message is stale.
    pub attempt: i32,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_event_survives_its_stored_form() {
        let body = EventBody::TaskQueued(TaskQueued {
            task_id: TaskId::from_uuid(Uuid::from_u128(1)),
            scan_id: ScanId::from_uuid(Uuid::from_u128(2)),
            pool: Pool::NetRaw,
            attempt: 3,
        });
        let stored = serde_json::to_value(&body).unwrap();
        assert_eq!(stored["event"], "task.queued");
        assert_eq!(serde_json::from_value::<EventBody>(stored).unwrap(), body);
        assert_eq!(body.routing_key(), "task.queued.net.raw");
    }

    #[test]
    fn names_are_unique() {
        let mut names = EventBody::NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), EventBody::NAMES.len());
    }
}
