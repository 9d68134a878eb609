//! What operators have stopped: everything, an organization, or a target. Admission lets nothing of it go, a create is
//! refused, and the steward stops what runs. A switch is never removed: lifting it is noted in its row.

pub(crate) mod stop;

pub use self::stop::{CoveredScan, covered, stop};

use std::collections::BTreeSet;

use jiff::Timestamp;
use picket_domain::{AuditAction, AuditEntry, LaterTasks, NewScan, OrganizationId, Shard, TargetPattern};
use serde_json::json;
use tokio_postgres::{Row, types::Json};
use uuid::Uuid;

use crate::{
    Inconsistent, Notice, StoreError, Tx, administration, audit,
    row::Columns,
    statements::statements,
    windows::{Closed, columns, pattern},
};

statements! {
    THROW = "-- halts.throw
INSERT INTO kill_switches (id, created_at, created_by, reason, organization_id, pattern, network)
VALUES (gen_random_uuid(), $1, $2, $3, $4, $5, $6::text::inet)";

    LIFT = "-- halts.lift
UPDATE kill_switches
SET lifted_at = $3, lifted_by = $4
WHERE lifted_at IS NULL AND organization_id IS NOT DISTINCT FROM $1 AND pattern IS NOT DISTINCT FROM $2
RETURNING reason";

    LIST = "-- halts.list
SELECT k.created_at, k.created_by, k.reason, k.organization_id, k.pattern
FROM kill_switches AS k
WHERE k.lifted_at IS NULL
ORDER BY k.created_at DESC, k.id DESC";

    // As they are stored: a pattern that cannot be read any more closes what it closed before.
    CLOSED = "-- halts.closed
SELECT k.organization_id, k.pattern, k.network::text AS network
FROM kill_switches AS k
WHERE k.lifted_at IS NULL";

    // The same with those that were lifted since.
    CLOSED_SINCE = "-- halts.closed_since
SELECT k.organization_id, k.pattern, k.network::text AS network
FROM kill_switches AS k
WHERE k.lifted_at IS NULL OR k.lifted_at > $1";

    EXISTS = "-- halts.exists
SELECT
FROM organizations
WHERE id = $1";

    // In the round trip of the create, behind it: the tasks say what is touched.
    HALTED = "-- halts.halted
SELECT h.reason
FROM picket_halts($1) AS h
WHERE h.pattern IS NULL OR EXISTS (
  SELECT FROM tasks AS t WHERE t.scan_id = $2 AND picket_covers(h.pattern, h.network, $3, t.shard)
) OR EXISTS (
  SELECT FROM scans AS s WHERE s.id = $2 AND s.unmade > 0 AND picket_covers_pages(h.pattern, h.network, $3, s.pages -> 'later')
)
LIMIT 1";

    // The same of tasks that are not stored.
    WOULD = "-- halts.would
SELECT h.reason
FROM picket_halts($1) AS h
WHERE h.pattern IS NULL OR EXISTS (
  SELECT FROM unnest($3::jsonb[]) AS t (shard) WHERE picket_covers(h.pattern, h.network, $2, t.shard)
) OR picket_covers_pages(h.pattern, h.network, $2, $4)
LIMIT 1";
}

/// What [`demand_none`] asks, to be prepared with the statements of a create.
pub(crate) const AFTER_CREATE: &str = HALTED;

/// The constraint that refuses a switch which is thrown already.
pub const ALREADY_THROWN: &str = "a_kill_switch_is_thrown_once";

/// What a switch covers: everything when it names nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HaltScope {
    /// One organization.
    pub organization_id: Option<OrganizationId>,
    /// What fits a pattern.
    pub pattern: Option<TargetPattern>,
}

/// Who throws or lifts a switch, and from where the audit log says it was done.
#[derive(Debug, Clone)]
pub struct HaltBy {
    /// The operator's own organization, whose audit log tells it too.
    pub organization_id: OrganizationId,
    /// The entry, without its action, object and change.
    pub entry: AuditEntry,
}

/// A switch that is thrown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// What it covers.
    pub scope: HaltScope,
    /// Since when.
    pub created_at: Timestamp,
    /// Who threw it.
    pub created_by: String,
    /// Why, for the people of whom it concerns.
    pub reason: String,
}

/// Throws a switch. Runs as the operator. `false` when it names an organization that is not there.
///
/// # Errors
/// [`StoreError::Conflict`] with [`ALREADY_THROWN`], or when the database refuses.
#[tracing::instrument(name = "db.halts.throw", skip_all, err(level = "debug"))]
pub async fn throw(tx: &Tx<'_>, halt: &Halt, by: &HaltBy) -> Result<bool, StoreError> {
    if !lock(tx, &halt.scope, by).await? {
        return Ok(false);
    }
    let (text, network) = columns(halt.scope.pattern.as_ref());
    let organization = halt.scope.organization_id.map(OrganizationId::uuid);
    let Halt { created_at, created_by, reason, .. } = halt;
    tx.execute_one(THROW, &[created_at, created_by, reason, &organization, &text, &network]).await?;
    tell(tx, &halt.scope, by, (AuditAction::ScanningHalted, reason)).await?;
    tx.notify(Notice::Tasks);
    Ok(true)
}

/// Lifts a switch. Runs as the operator. `false` when none is thrown for just that.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.halts.lift", skip_all, err(level = "debug"))]
pub async fn lift(tx: &Tx<'_>, scope: &HaltScope, by: &HaltBy) -> Result<bool, StoreError> {
    if !lock(tx, scope, by).await? {
        return Ok(false);
    }
    let (organization, text) = (scope.organization_id.map(OrganizationId::uuid), columns(scope.pattern.as_ref()).0);
    let Some(row) = tx.query_opt(LIFT, &[&organization, &text, &by.entry.at, &by.entry.actor]).await? else {
        return Ok(false);
    };
    let reason: String = Columns::new("kill_switches", &row).get("reason")?;
    tell(tx, scope, by, (AuditAction::ScanningReleased, &reason)).await?;
    tx.notify(Notice::Tasks);
    Ok(true)
}

/// The switches that are thrown, latest first. Runs as the operator.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn list(tx: &Tx<'_>) -> Result<Vec<Halt>, StoreError> {
    let halt = |row: &Row| -> Result<Halt, Inconsistent> {
        let columns = Columns::new("kill_switches", row);
        let organization: Option<Uuid> = columns.get("organization_id")?;
        Ok(Halt {
            scope: HaltScope {
                organization_id: organization.map(OrganizationId::from_uuid),
                pattern: pattern(&columns)?,
            },
            created_at: columns.get("created_at")?,
            created_by: columns.get("created_by")?,
            reason: columns.get("reason")?,
        })
    };
    Ok(tx.query(LIST, &[]).await?.iter().map(halt).collect::<Result<_, _>>()?)
}

/// What may not be admitted while these switches are thrown.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub(crate) async fn closed(tx: &Tx<'_>) -> Result<Vec<Closed>, StoreError> {
    closed_of(&tx.query(CLOSED, &[]).await?)
}

/// What could not be admitted at some moment since then.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub(crate) async fn closed_since(tx: &Tx<'_>, since: Timestamp) -> Result<Vec<Closed>, StoreError> {
    closed_of(&tx.query(CLOSED_SINCE, &[&since]).await?)
}

fn closed_of(rows: &[Row]) -> Result<Vec<Closed>, StoreError> {
    let closed = |row: &Row| -> Result<Closed, Inconsistent> {
        let columns = Columns::new("kill_switches", row);
        let organization: Option<Uuid> = columns.get("organization_id")?;
        Ok(Closed {
            organization_id: organization.map(OrganizationId::from_uuid),
            tag: None,
            pattern: columns.get("pattern")?,
            network: columns.get("network")?,
            pauses: false,
        })
    };
    Ok(rows.iter().map(closed).collect::<Result<_, _>>()?)
}

/// Demands that no switch covers a scan, whose rows are written already.
///
/// # Errors
/// [`StoreError::Halted`], or when the database refuses.
pub(crate) async fn demand_none(tx: &Tx<'_>, new: &NewScan) -> Result<(), StoreError> {
    let row = tx.query_opt(HALTED, &[&new.organization_id.uuid(), &new.id.uuid(), &new.target]).await?;
    match row {
        Some(row) => Err(StoreError::Halted { reason: Columns::new("kill_switches", &row).get("reason")? }),
        None => Ok(()),
    }
}

/// The same for tasks that are not stored, as a dry run has them.
///
/// # Errors
/// As [`demand_none`].
pub async fn demand_none_of(
    tx: &Tx<'_>,
    organization: OrganizationId,
    target: &str,
    shards: &[&Shard],
) -> Result<(), StoreError> {
    demand_none_of_all(tx, organization, target, (shards, &[])).await
}

/// The same, also for tasks that would be made later.
///
/// # Errors
/// As [`demand_none`].
pub async fn demand_none_of_all(
    tx: &Tx<'_>,
    organization: OrganizationId,
    target: &str,
    (shards, later): (&[&Shard], &[LaterTasks]),
) -> Result<(), StoreError> {
    let shards: Vec<Json<&Shard>> = shards.iter().map(|shard| Json(*shard)).collect();
    match tx.query_opt(WOULD, &[&organization.uuid(), &target, &shards, &Json(later)]).await? {
        Some(row) => Err(StoreError::Halted { reason: Columns::new("kill_switches", &row).get("reason")? }),
        None => Ok(()),
    }
}

/// Locks the counters of whom it concerns; `false` when there is no such organization.
async fn lock(tx: &Tx<'_>, scope: &HaltScope, by: &HaltBy) -> Result<bool, StoreError> {
    if let Some(organization) = scope.organization_id
        && tx.query_opt(EXISTS, &[&organization.uuid()]).await?.is_none()
    {
        return Ok(false);
    }
    let concerned: Vec<_> = concerned(scope, by).into_iter().collect();
    administration::lock(tx, &concerned).await?;
    Ok(true)
}

/// The operator's organization, and the one that is named. Others hear of each scan that is stopped.
fn concerned(scope: &HaltScope, by: &HaltBy) -> BTreeSet<OrganizationId> {
    [Some(by.organization_id), scope.organization_id].into_iter().flatten().collect()
}

async fn tell(
    tx: &Tx<'_>,
    scope: &HaltScope,
    by: &HaltBy,
    (action, reason): (AuditAction, &str),
) -> Result<(), StoreError> {
    let pattern = scope.pattern.as_ref().map(TargetPattern::text);
    let said = json!({"organization_id": scope.organization_id, "target": pattern, "reason": reason});
    let object = scope.organization_id.map(|id| id.to_string());
    for organization in concerned(scope, by) {
        let own = organization == by.organization_id;
        let entry = if own {
            AuditEntry { action, object: object.clone(), ..by.entry.clone() }
        } else {
            // Who it was, and from where, is the platform's business.
            AuditEntry { object: object.clone(), ..administration::entry(action, String::new(), by.entry.at) }
        };
        audit::record(tx, organization, &entry.change(None, Some(said.clone()))).await?;
    }
    Ok(())
}
