//! A scan and the only ways it may change.
//!
//! ```text
//! created ──queue──▶ queued ──start──▶ running ──complete──▶ completed
//!                                      │    ▲
//!                                    pause resume
//!                                      ▼    │
//!                                      paused
//! created, queued, running, paused ──fail──▶ failed,  ──cancel──▶ cancelled
//! paused ──complete──▶ completed, when its last task was running as it was paused
//! ```

use jiff::Timestamp;

use crate::{EventBody, InvalidTransition, OrganizationId, ScanChanged, ScanId, Transition};

/// One request to examine targets with a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Identity.
    pub id: ScanId,
    /// Owner.
    pub organization_id: OrganizationId,
    /// How far it is.
    pub state: ScanState,
}

/// How far a scan is; each state holds exactly what is known in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanState {
    /// Accepted; nothing was admitted yet.
    Created,
    /// A task was admitted and waits for a worker.
    Queued,
    /// A worker has begun.
    Running {
        /// When the first worker began.
        started_at: Timestamp,
    },
    /// Held by the client between running spells.
    Paused {
        /// When the first worker began.
        started_at: Timestamp,
    },
    /// Ended; what was found is stored, gaps are in the coverage.
    Completed {
        /// When the first worker began.
        started_at: Timestamp,
        /// When it ended.
        ended_at: Timestamp,
    },
    /// Ended without a result.
    Failed {
        /// When the first worker began, if one did.
        started_at: Option<Timestamp>,
        /// When it ended.
        ended_at: Timestamp,
        /// Why, in words fit for the client.
        reason: String,
    },
    /// Stopped by the client; partial results stay.
    Cancelled {
        /// When the first worker began, if one did.
        started_at: Option<Timestamp>,
        /// When it ended.
        ended_at: Timestamp,
    },
}

impl ScanState {
    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Queued => "queued",
            Self::Running { .. } => "running",
            Self::Paused { .. } => "paused",
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// Whether the scan can still change.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Created | Self::Queued | Self::Running { .. } | Self::Paused { .. } => false,
            Self::Completed { .. } | Self::Failed { .. } | Self::Cancelled { .. } => true,
        }
    }

    /// When the first worker began.
    #[must_use]
    pub const fn started_at(&self) -> Option<Timestamp> {
        match self {
            Self::Created | Self::Queued => None,
            Self::Running { started_at } | Self::Paused { started_at } | Self::Completed { started_at, .. } => {
                Some(*started_at)
            }
            Self::Failed { started_at, .. } | Self::Cancelled { started_at, .. } => *started_at,
        }
    }

    /// When it ended.
    #[must_use]
    pub const fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Created | Self::Queued | Self::Running { .. } | Self::Paused { .. } => None,
            Self::Completed { ended_at, .. } | Self::Failed { ended_at, .. } | Self::Cancelled { ended_at, .. } => {
                Some(*ended_at)
            }
        }
    }
}

impl Scan {
    /// A worker begins the first task.
    pub fn start(self, now: Timestamp) -> Result<Transition<Self>, InvalidTransition> {
        match self.state {
            ScanState::Created | ScanState::Queued => {
                Ok(self.moved(ScanState::Running { started_at: now }, EventBody::ScanStarted))
            }
            ScanState::Running { .. }
            | ScanState::Paused { .. }
            | ScanState::Completed { .. }
            | ScanState::Failed { .. }
            | ScanState::Cancelled { .. } => Err(self.refuse("start")),
        }
    }

    /// The client holds the scan.
    pub fn pause(self) -> Result<Transition<Self>, InvalidTransition> {
        match self.state {
            ScanState::Running { started_at } => {
                Ok(self.moved(ScanState::Paused { started_at }, EventBody::ScanPaused))
            }
            ScanState::Created
            | ScanState::Queued
            | ScanState::Paused { .. }
            | ScanState::Completed { .. }
            | ScanState::Failed { .. }
            | ScanState::Cancelled { .. } => Err(self.refuse("pause")),
        }
    }

    /// The client lets the scan go on.
    pub fn resume(self) -> Result<Transition<Self>, InvalidTransition> {
        match self.state {
            ScanState::Paused { started_at } => {
                Ok(self.moved(ScanState::Running { started_at }, EventBody::ScanResumed))
            }
            ScanState::Created
            | ScanState::Queued
            | ScanState::Running { .. }
            | ScanState::Completed { .. }
            | ScanState::Failed { .. }
            | ScanState::Cancelled { .. } => Err(self.refuse("resume")),
        }
    }

    /// The last task ended and something was examined.
    pub fn complete(self, now: Timestamp) -> Result<Transition<Self>, InvalidTransition> {
        match self.state {
            // Of a paused scan what runs may end; when nothing is left to hold, nothing is left to resume.
            ScanState::Running { started_at } | ScanState::Paused { started_at } => {
                Ok(self.moved(ScanState::Completed { started_at, ended_at: now }, EventBody::ScanCompleted))
            }
            ScanState::Created
            | ScanState::Queued
            | ScanState::Completed { .. }
            | ScanState::Failed { .. }
            | ScanState::Cancelled { .. } => Err(self.refuse("complete")),
        }
    }

    /// The scan ends without a result, from any state that is not final.
    pub fn fail(self, now: Timestamp, reason: String) -> Result<Transition<Self>, InvalidTransition> {
        if self.state.is_final() {
            return Err(self.refuse("fail"));
        }
        let state = ScanState::Failed { started_at: self.state.started_at(), ended_at: now, reason };
        Ok(self.moved(state, EventBody::ScanFailed))
    }

    /// The client stops the scan; what was found so far stays.
    pub fn cancel(self, now: Timestamp) -> Result<Transition<Self>, InvalidTransition> {
        if self.state.is_final() {
            return Err(self.refuse("stop"));
        }
        let state = ScanState::Cancelled { started_at: self.state.started_at(), ended_at: now };
        Ok(self.moved(state, EventBody::ScanCancelled))
    }

    fn moved(self, state: ScanState, event: fn(ScanChanged) -> EventBody) -> Transition<Self> {
        let reason = match &state {
            ScanState::Failed { reason, .. } => Some(reason.clone()),
            ScanState::Created
            | ScanState::Queued
            | ScanState::Running { .. }
            | ScanState::Paused { .. }
            | ScanState::Completed { .. }
            | ScanState::Cancelled { .. } => None,
        };
        let changed = ScanChanged { scan_id: self.id, reason };
        Transition { entity: Self { state, ..self }, events: vec![event(changed)] }
    }

    const fn refuse(&self, action: &'static str) -> InvalidTransition {
        InvalidTransition { action, entity: "scan", from: self.state.name() }
    }
}

/// What a scan does at the end of its last task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanEnd {
    /// Something was examined; gaps are in the coverage.
    Complete,
    /// Nothing could be done.
    Fail,
}

impl ScanEnd {
    /// Decides from how many tasks left a result, wholly or in part.
    #[must_use]
    pub const fn of(tasks_with_result: u64) -> Self {
        if tasks_with_result == 0 { Self::Fail } else { Self::Complete }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn now() -> Timestamp {
        "2026-01-15T14:30:00Z".parse().unwrap()
    }

    fn created() -> Scan {
        Scan {
            id: ScanId::from_uuid(Uuid::from_u128(1)),
            organization_id: OrganizationId::from_uuid(Uuid::from_u128(2)),
            state: ScanState::Created,
        }
    }

    #[test]
    fn a_scan_runs_to_its_end() {
        let queued = Scan { state: ScanState::Queued, ..created() };
        let started = queued.start(now()).unwrap();
        assert_eq!(started.events[0].name(), "scan.started");
        let paused = started.entity.pause().unwrap();
        let resumed = paused.entity.resume().unwrap();
        let completed = resumed.entity.complete(now()).unwrap();
        assert!(completed.entity.state.is_final());
        assert_eq!(completed.events[0].name(), "scan.completed");
    }

    #[test]
    fn a_paused_scan_ends_with_the_last_task_that_was_running() {
        let paused = created().start(now()).unwrap().entity.pause().unwrap().entity;
        assert_eq!(paused.complete(now()).unwrap().events[0].name(), "scan.completed");
        assert!(created().pause().is_err(), "nothing ran yet");
    }

    #[test]
    fn a_scan_that_ended_stays_ended() {
        let failed = created().fail(now(), "no such host".to_owned()).unwrap().entity;
        assert_eq!(failed.clone().start(now()).unwrap_err().to_string(), "cannot start a scan that is failed");
        assert!(failed.clone().fail(now(), String::new()).is_err());
        assert!(failed.clone().cancel(now()).is_err());
        assert!(failed.complete(now()).is_err());
    }

    #[test]
    fn a_failure_tells_its_reason() {
        let failed = created().fail(now(), "no such host".to_owned()).unwrap();
        let EventBody::ScanFailed(changed) = &failed.events[0] else { panic!("expected scan.failed") };
        assert_eq!(changed.reason.as_deref(), Some("no such host"));
    }

    #[test]
    fn a_scan_that_examined_nothing_has_failed() {
        assert_eq!(ScanEnd::of(0), ScanEnd::Fail);
        assert_eq!(ScanEnd::of(1), ScanEnd::Complete);
    }
}
