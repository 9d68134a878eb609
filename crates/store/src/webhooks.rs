//! Webhooks at rest. Their secrets come and go sealed: this crate could not read one.
//! Lock order: the webhook's row, then its deliveries.

use jiff::Timestamp;
use picket_domain::{Dialect, Disabled, Event, OrganizationId, Webhook, WebhookEvent, WebhookId, WebhookUrl};
use tokio_postgres::Row;

use crate::{
    Inconsistent, StoreError, Tx,
    row::Columns,
    scans::read::{Page, Range},
    statements::statements,
};

statements! {
    CREATE = "-- webhooks.create
INSERT INTO webhooks (id, organization_id, dialect, created_at, url, events, secret)
VALUES ($1, $2, $3, $4, $5, $6, $7)";

    FIND = "-- webhooks.find
SELECT id, organization_id, dialect, created_at, url, events, disabled_at, disabled_reason
FROM webhooks
WHERE id = $1 AND deleted_at IS NULL";

    LIST = "-- webhooks.list
SELECT id, organization_id, dialect, created_at, url, events, disabled_at, disabled_reason
FROM webhooks
WHERE organization_id = picket_organization() AND deleted_at IS NULL
ORDER BY id DESC
LIMIT $1 OFFSET $2";

    COUNT = "-- webhooks.count
SELECT count(*) AS total
FROM webhooks
WHERE organization_id = picket_organization() AND deleted_at IS NULL";

    // The secret goes at once; the row stays for the log of its deliveries.
    DELETE = "-- webhooks.delete
UPDATE webhooks
SET deleted_at = $2, secret = ''::bytea
WHERE id = $1 AND deleted_at IS NULL";

    WITHDRAW = "-- webhooks.withdraw
UPDATE deliveries
SET state = 'withdrawn', next_attempt_at = NULL, ended_at = now()
WHERE webhook_id = $1 AND state = 'pending'";

    DISABLE = "-- webhooks.disable
UPDATE webhooks
SET disabled_at = $2, disabled_reason = $3
WHERE id = $1 AND disabled_at IS NULL AND deleted_at IS NULL";

    EXHAUST = "-- webhooks.exhaust
UPDATE deliveries
SET state = 'exhausted', next_attempt_at = NULL, ended_at = now()
WHERE webhook_id = $1 AND state = 'pending'";

    // Locked, so that a webhook is not deleted or disabled while a delivery to it is made. It hears of nothing that is
    // older than itself; the minute is for clocks that differ, since a late webhook is better told too much.
    LISTENING = "-- webhooks.listening
SELECT id, dialect
FROM webhooks
WHERE organization_id = $1 AND deleted_at IS NULL AND disabled_at IS NULL
  AND created_at <= $4::timestamptz + interval '1 minute'
  AND ((dialect = 'v1' AND $2 = ANY(events)) OR (dialect = 'v2' AND $3 = ANY(events)))
ORDER BY id
FOR SHARE";
}

/// A webhook that hears of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// The webhook.
    pub id: WebhookId,
    /// How it is spoken to.
    pub dialect: Dialect,
}

/// Stores a new webhook with its sealed secret.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.webhooks.create", skip_all, fields(webhook.id = %webhook.id), err(level = "debug"))]
pub async fn create(tx: &Tx<'_>, webhook: &Webhook, sealed_secret: &[u8]) -> Result<(), StoreError> {
    let events: Vec<&str> = webhook.events.iter().map(|event| event.name()).collect();
    tx.execute_one(
        CREATE,
        &[
            &webhook.id.uuid(),
            &webhook.organization_id.uuid(),
            &webhook.dialect.name(),
            &webhook.created_at,
            &webhook.url.to_string(),
            &events,
            &sealed_secret,
        ],
    )
    .await
}

/// The webhook, unless the tenant has none of that id, or deleted it.
///
/// # Errors
/// When the database refuses, or the row is inconsistent.
#[tracing::instrument(name = "db.webhooks.find", skip_all, fields(webhook.id = %id), err(level = "debug"))]
pub async fn find(tx: &Tx<'_>, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
    Ok(tx.query_opt(FIND, &[&id.uuid()]).await?.as_ref().map(webhook).transpose()?)
}

/// The tenant's webhooks, newest first.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.webhooks.list", skip_all, err(level = "debug"))]
pub async fn list(tx: &Tx<'_>, range: Range) -> Result<Page<Webhook>, StoreError> {
    let rows = tx.query(LIST, &[&range.limit, &range.offset]).await?;
    let total: i64 = Columns::new("webhooks", &tx.query_one(COUNT, &[]).await?).get("total")?;
    Ok(Page {
        rows: rows.iter().map(webhook).collect::<Result<_, _>>()?,
        total: u64::try_from(total).unwrap_or_default(),
    })
}

/// Deletes the webhook with its secret, and withdraws what it was still to hear. `false` when there is none.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.webhooks.delete", skip_all, fields(webhook.id = %id), err(level = "debug"))]
pub async fn delete(tx: &Tx<'_>, id: WebhookId, now: Timestamp) -> Result<bool, StoreError> {
    let deleted = tx.execute(DELETE, &[&id.uuid(), &now]).await? == 1;
    if deleted {
        tx.execute(WITHDRAW, &[&id.uuid()]).await?;
    }
    Ok(deleted)
}

/// Sends nothing more to the webhook; what waits for it is exhausted. `reason` is for the client.
pub(crate) async fn disable(tx: &Tx<'_>, id: WebhookId, reason: &str, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(DISABLE, &[&id.uuid(), &now, &reason]).await?;
    tx.execute(EXHAUST, &[&id.uuid()]).await?;
    Ok(())
}

/// The webhooks that hear of an event, locked until the transaction ends.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.webhooks.listening", skip_all, err(level = "debug"))]
pub async fn listening(tx: &Tx<'_>, event: &Event) -> Result<Vec<Listener>, StoreError> {
    let name = |dialect| WebhookEvent::of(dialect, &event.body).map(WebhookEvent::name);
    let (v1, v2) = (name(Dialect::V1), name(Dialect::V2));
    if v1.is_none() && v2.is_none() {
        return Ok(Vec::new());
    }
    let rows = tx.query(LISTENING, &[&event.organization_id.uuid(), &v1, &v2, &event.at]).await?;
    let listener = |row: &Row| -> Result<Listener, Inconsistent> {
        let columns = Columns::new("webhooks", row);
        Ok(Listener { id: WebhookId::from_uuid(columns.get("id")?), dialect: columns.named("dialect", Dialect::find)? })
    };
    Ok(rows.iter().map(listener).collect::<Result<_, _>>()?)
}

fn webhook(row: &Row) -> Result<Webhook, Inconsistent> {
    let columns = Columns::new("webhooks", row);
    let dialect = columns.named("dialect", Dialect::find)?;
    let names: Vec<&str> = columns.get("events")?;
    let events = WebhookEvent::parse_list(dialect, &names).map_err(|_| columns.inconsistent("events"))?;
    let disabled = match columns.get::<Option<Timestamp>>("disabled_at")? {
        Some(at) => Some(Disabled { at, reason: columns.required("disabled_reason")? }),
        None => None,
    };
    Ok(Webhook {
        id: WebhookId::from_uuid(columns.get("id")?),
        organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
        url: WebhookUrl::parse(columns.get("url")?).map_err(|_| columns.inconsistent("url"))?,
        dialect,
        events,
        created_at: columns.get("created_at")?,
        disabled,
    })
}
