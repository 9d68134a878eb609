//! Deliveries as clients see them. Reads only; nothing here locks.

use std::collections::HashMap;

use jiff::Timestamp;
use picket_domain::{DeliveryAttempt, DeliveryId, DeliveryState, EventId, WebhookId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    Inconsistent, StoreError, Tx,
    row::Columns,
    scans::read::{Page, Range},
    statements::statements,
};

statements! {
    LIST = "-- deliveries.read.list
SELECT d.id, d.webhook_id, d.event_id, d.event, d.created_at, d.state, d.ended_at,
       CASE WHEN d.next_attempt_at IS NOT NULL THEN greatest(d.next_attempt_at, w.held_until) END AS next_attempt_at
FROM deliveries AS d
JOIN webhooks AS w ON w.id = d.webhook_id
WHERE d.webhook_id = $1
ORDER BY d.id DESC
LIMIT $2 OFFSET $3";

    COUNT = "-- deliveries.read.count
SELECT count(*) AS total
FROM deliveries
WHERE webhook_id = $1";

    // A client is shown the beginning of an answer alone: the rest could be of a host that it may not read. Nor is it
    // shown `peer`, which could be an address of the platform's network.
    ATTEMPTS = "-- deliveries.read.attempts
SELECT delivery_id, attempt, started_at, duration_ms, status, error, error_class, left(response, 1024) AS response
FROM delivery_attempts
WHERE delivery_id = ANY($1)
ORDER BY delivery_id, attempt";
}

/// A delivery with all that a client may know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// Identity.
    pub id: DeliveryId,
    /// The receiver.
    pub webhook_id: WebhookId,
    /// What happened; `webhook-id` on the wire.
    pub event_id: EventId,
    /// The event's name in the webhook's dialect.
    pub event: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// How far it is.
    pub state: DeliveryState,
    /// When it is tried next, while it waits; not before the end of a pause that the receiver asked for.
    pub next_attempt_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What was tried, first to last.
    pub attempts: Vec<DeliveryAttempt>,
}

/// A page of a webhook's deliveries, newest first. Of another tenant's webhook there are none.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.deliveries.list", skip_all, fields(webhook.id = %webhook), err(level = "debug"))]
pub async fn list(tx: &Tx<'_>, webhook: WebhookId, range: Range) -> Result<Page<DeliveryRecord>, StoreError> {
    let rows = tx.query(LIST, &[&webhook.uuid(), &range.limit, &range.offset]).await?;
    let mut records = rows.iter().map(record).collect::<Result<Vec<_>, _>>()?;
    let mut attempts = attempts(tx, &records).await?;
    for record in &mut records {
        record.attempts = attempts.remove(&record.id.uuid()).unwrap_or_default();
    }
    let total: i64 = Columns::new("deliveries", &tx.query_one(COUNT, &[&webhook.uuid()]).await?).get("total")?;
    Ok(Page { rows: records, total: u64::try_from(total).unwrap_or_default() })
}

async fn attempts(tx: &Tx<'_>, of: &[DeliveryRecord]) -> Result<HashMap<Uuid, Vec<DeliveryAttempt>>, StoreError> {
    let ids: Vec<Uuid> = of.iter().map(|record| record.id.uuid()).collect();
    let mut attempts: HashMap<Uuid, Vec<DeliveryAttempt>> = HashMap::new();
    for row in tx.query(ATTEMPTS, &[&ids]).await? {
        let columns = Columns::new("delivery_attempts", &row);
        let status: Option<i32> = columns.get("status")?;
        attempts.entry(columns.get("delivery_id")?).or_default().push(DeliveryAttempt {
            attempt: columns.get("attempt")?,
            started_at: columns.get("started_at")?,
            duration_ms: columns.get("duration_ms")?,
            status: status.map(|code| u16::try_from(code).map_err(|_| columns.inconsistent("status"))).transpose()?,
            error: columns.get("error")?,
            error_class: columns.get("error_class")?,
            response: columns.get("response")?,
        });
    }
    Ok(attempts)
}

fn record(row: &Row) -> Result<DeliveryRecord, Inconsistent> {
    let columns = Columns::new("deliveries", row);
    Ok(DeliveryRecord {
        id: DeliveryId::from_uuid(columns.get("id")?),
        webhook_id: WebhookId::from_uuid(columns.get("webhook_id")?),
        event_id: EventId::from_uuid(columns.get("event_id")?),
        event: columns.get("event")?,
        created_at: columns.get("created_at")?,
        state: columns.named("state", DeliveryState::find)?,
        next_attempt_at: columns.get("next_attempt_at")?,
        ended_at: columns.get("ended_at")?,
        attempts: Vec::new(),
    })
}
