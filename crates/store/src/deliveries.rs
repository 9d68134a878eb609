//! Deliveries are made once per event and webhook, in one transaction with the mark that they are made.
//! Sending them is in [`lease`]; what goes into a body is read in [`facts`]; what a client sees is read in [`read`].

pub mod facts;
pub mod lease;
pub mod read;

use std::time::Duration;

use jiff::Timestamp;
use picket_domain::{DeliveryId, Event, EventId, OrganizationId, WebhookId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Inconsistent, StoreError, Tx, events, row::Columns, statements::statements};

statements! {
    // Whoever holds the row makes the deliveries; a second one finds it done.
    LOCK_EVENT = "-- deliveries.lock_event
SELECT position, id, organization_id, sequence, routing_key, at, body, traceparent
FROM events
WHERE id = $1 AND public AND sequence IS NOT NULL AND fanned_out_at IS NULL
FOR NO KEY UPDATE";

    INSERT = "-- deliveries.insert
INSERT INTO deliveries (id, organization_id, webhook_id, event_id, event, body, created_at, next_attempt_at)
SELECT d.id, $1, d.webhook_id, $2, d.event, d.body, $3, now()
FROM unnest($4::uuid[], $5::uuid[], $6::text[], $7::bytea[]) AS d (id, webhook_id, event, body)
ON CONFLICT ON CONSTRAINT a_delivery_is_made_once DO NOTHING";

    MARK_FANNED_OUT = "-- deliveries.mark_fanned_out
UPDATE events
SET fanned_out_at = now()
WHERE id = $1 AND fanned_out_at IS NULL";

    // Events whose message is late or lost.
    OVERDUE_EVENTS = "-- deliveries.overdue_events
SELECT id, organization_id
FROM events
WHERE public AND fanned_out_at IS NULL AND sequence IS NOT NULL AND at < now() - make_interval(secs => $1)
ORDER BY position
LIMIT $2";
}

/// A delivery to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// The receiver.
    pub webhook_id: WebhookId,
    /// The event's name in the webhook's dialect.
    pub event: &'static str,
    /// The bytes that are signed and sent, at most 64 KiB.
    pub body: Vec<u8>,
}

/// The numbered public event of that id, locked, if its deliveries are still to be made.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.deliveries.lock_event", skip_all, fields(event.id = %id), err(level = "debug"))]
pub async fn lock_event(tx: &Tx<'_>, id: EventId) -> Result<Option<Event>, StoreError> {
    Ok(tx.query_opt(LOCK_EVENT, &[&id.uuid()]).await?.as_ref().map(events::outgoing).transpose()?.map(|row| row.event))
}

/// Makes the deliveries of a locked event and marks it as done; what exists already stays as it is.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.deliveries.fan_out", skip_all, fields(event.id = %event.id), err(level = "debug"))]
pub async fn fan_out(
    tx: &Tx<'_>,
    event: &Event,
    deliveries: &[NewDelivery],
    now: Timestamp,
) -> Result<u64, StoreError> {
    let ids: Vec<Uuid> = deliveries.iter().map(|_| DeliveryId::mint(now).uuid()).collect();
    let receivers: Vec<Uuid> = deliveries.iter().map(|delivery| delivery.webhook_id.uuid()).collect();
    let names: Vec<&str> = deliveries.iter().map(|delivery| delivery.event).collect();
    let bodies: Vec<&[u8]> = deliveries.iter().map(|delivery| delivery.body.as_slice()).collect();
    let (organization, event_id) = (event.organization_id.uuid(), event.id.uuid());
    let made = if deliveries.is_empty() {
        0
    } else {
        tx.execute(INSERT, &[&organization, &event_id, &now, &ids, &receivers, &names, &bodies]).await?
    };
    tx.execute_one(MARK_FANNED_OUT, &[&event_id]).await?;
    Ok(made)
}

/// Public events of all organizations that are older than `grace` and have no deliveries yet, oldest first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.deliveries.overdue_events", skip_all, err(level = "debug"))]
pub async fn overdue_events(
    tx: &Tx<'_>,
    grace: Duration,
    at_most: i64,
) -> Result<Vec<(OrganizationId, EventId)>, StoreError> {
    let rows = tx.query(OVERDUE_EVENTS, &[&grace.as_secs_f64(), &at_most]).await?;
    let read = |row: &Row| -> Result<_, Inconsistent> {
        let columns = Columns::new("events", row);
        let organization = OrganizationId::from_uuid(columns.get("organization_id")?);
        Ok((organization, EventId::from_uuid(columns.get("id")?)))
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}
