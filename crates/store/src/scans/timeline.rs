//! What happened to a scan, from its public events. Reads only; a page begins behind an event that the client has.

use picket_domain::{Event, EventBody, EventId, OrganizationId, ScanId};
use tokio_postgres::Row;

use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements};

statements! {
    PLACE = "-- scans.timeline.place
SELECT position
FROM events
WHERE scan_id = $1 AND id = $2 AND public";

    // A scan's events are written behind its lock, so their order of writing is the order in which they became true.
    LIST = "-- scans.timeline.list
SELECT position, id, organization_id, sequence, at, body, traceparent
FROM events
WHERE scan_id = $1 AND public AND position > $2
ORDER BY position
LIMIT $3";
}

/// Where an event of the scan stands; `None` when the scan has no such event.
///
/// # Errors
/// When the database refuses.
pub async fn place(tx: &Tx<'_>, scan: ScanId, event: EventId) -> Result<Option<i64>, StoreError> {
    let row = tx.query_opt(PLACE, &[&scan.uuid(), &event.uuid()]).await?;
    Ok(row.as_ref().map(|row| Columns::new("events", row).get("position")).transpose()?)
}

/// At most `limit` events of the scan behind that place, in their order; 0 is before the first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn list(tx: &Tx<'_>, scan: ScanId, behind: i64, limit: i64) -> Result<Vec<Event>, StoreError> {
    let rows = tx.query(LIST, &[&scan.uuid(), &behind, &limit]).await?;
    Ok(rows.iter().map(event).collect::<Result<_, _>>()?)
}

/// The same, each with its place.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn list_placed(tx: &Tx<'_>, scan: ScanId, behind: i64, limit: i64) -> Result<Vec<(i64, Event)>, StoreError> {
    let rows = tx.query(LIST, &[&scan.uuid(), &behind, &limit]).await?;
    let placed =
        |row: &Row| -> Result<_, Inconsistent> { Ok((Columns::new("events", row).get("position")?, event(row)?)) };
    Ok(rows.iter().map(placed).collect::<Result<_, _>>()?)
}

fn event(row: &Row) -> Result<Event, Inconsistent> {
    let columns = Columns::new("events", row);
    Ok(Event {
        id: EventId::from_uuid(columns.get("id")?),
        organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
        sequence: columns.get("sequence")?,
        at: columns.get("at")?,
        body: columns.json::<EventBody>("body")?,
        traceparent: columns.get("traceparent")?,
    })
}
