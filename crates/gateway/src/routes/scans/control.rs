//! What a client may do to a scan that exists: stop, pause, resume, remove. Each is one transaction that locks the
//! organization's counters and then the scan, so that whatever else happens to it comes before or after as a whole; the
//! state decides, and what it does not allow is a conflict.

use actix_web::HttpResponse;
use jiff::Timestamp;
use picket_domain::{AuditAction, InvalidTransition, Scan, ScanId, Transition};
use picket_store::{
    Tx, audit, quota,
    scans::{self, Locked, control, overview::ScanKey, remove},
};
use serde_json::json;

use super::{LoadedScan, find, with_counts};
use crate::{App, Caller, Problem, RequestContext, idempotency};

/// A change of state that a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    Stop,
    Pause,
    Resume,
}

impl Control {
    const fn action(self) -> AuditAction {
        match self {
            Self::Stop => AuditAction::ScanStopped,
            Self::Pause => AuditAction::ScanPaused,
            Self::Resume => AuditAction::ScanResumed,
        }
    }

    fn of(self, scan: Scan, now: Timestamp) -> Result<Transition<Scan>, InvalidTransition> {
        match self {
            Self::Stop => scan.cancel(now),
            Self::Pause => scan.pause(),
            Self::Resume => scan.resume(),
        }
    }

    async fn store(self, tx: &Tx<'_>, locked: Locked, now: Timestamp) -> Result<Scan, Problem> {
        let Locked { scan, traceparent } = locked;
        let (change, trace) = (self.of(scan, now)?, traceparent.as_deref());
        Ok(match self {
            Self::Stop => scans::cancel(tx, change, trace, now).await?,
            Self::Pause => control::pause(tx, change, trace, now).await?,
            Self::Resume => control::resume(tx, change, trace, now).await?,
        })
    }
}

/// The caller's scan, locked behind the organization's counters.
async fn locked(tx: &Tx<'_>, caller: &Caller, key: ScanKey) -> Result<Locked, Problem> {
    let id = find(tx, key).await?.scan.id;
    quota::lock(tx, caller.organization_id).await?;
    scans::lock(tx, id).await?.ok_or(Problem::NotFound("scan"))
}

/// Changes a scan's state; a state from which that is not possible is a conflict. The answer is kept in the same transaction.
pub(super) async fn change(
    app: &App,
    caller: &Caller,
    context: &RequestContext,
    key: impl Into<ScanKey>,
    control: Control,
    answer: impl FnOnce(&LoadedScan) -> HttpResponse,
) -> Result<HttpResponse, Problem> {
    let (key, now) = (key.into(), app.clock.now());
    let (scan, response) = app
        .db
        .run("control_scan", caller.organization_id, async |tx| {
            let scan = control.store(tx, locked(tx, caller, key).await?, now).await?;
            let entry = context.entry(now, &caller.label(), control.action(), Some(scan.id.to_string()));
            audit::record(tx, caller.organization_id, &entry).await?;
            let changed = with_counts(tx, find(tx, key).await?).await?;
            Ok::<_, Problem>((scan.id, idempotency::keep(app, tx, answer(&changed)).await?))
        })
        .await?;
    app.streams.tell(scan);
    Ok(response)
}

/// Stops a scan; one that has ended is a conflict.
pub(super) async fn cancel(
    app: &App,
    caller: &Caller,
    context: &RequestContext,
    key: impl Into<ScanKey>,
    answer: impl FnOnce(&LoadedScan) -> HttpResponse,
) -> Result<HttpResponse, Problem> {
    change(app, caller, context, key, Control::Stop, answer).await
}

/// Removes a scan that has ended; one that has not, or of which a report is being made, is a conflict.
pub(super) async fn delete(app: &App, caller: &Caller, context: &RequestContext, id: ScanId) -> Result<(), Problem> {
    let now = app.clock.now();
    app.db
        .run("delete_scan", caller.organization_id, async |tx| {
            let scan = locked(tx, caller, ScanKey::Id(id)).await?.scan;
            let refused = |from| InvalidTransition { action: "delete", entity: "scan", from };
            if !scan.state.is_final() {
                return Err(refused(scan.state.name()).into());
            }
            if remove::is_reported(tx, id).await? {
                return Err(refused("the subject of a report in the making").into());
            }
            let remove::Removed { scans: _, tasks, sightings, findings } = remove::remove(tx, &scan).await?;
            let entry = context
                .entry(now, &caller.label(), AuditAction::ScanDeleted, Some(id.to_string()))
                .change(None, Some(json!({"tasks": tasks, "sightings": sightings, "findings": findings})));
            audit::record(tx, caller.organization_id, &entry).await?;
            Ok(())
        })
        .await
}
