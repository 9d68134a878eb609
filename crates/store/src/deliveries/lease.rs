//! A dispatcher's claim of deliveries, and what it makes of them.
//! Times of leases and retries are the database's, so that a dispatcher's clock cannot send early or stretch a lease.
//! Lock order: the webhook's row, then its deliveries.

use std::{net::IpAddr, time::Duration};

use jiff::Timestamp;
use picket_domain::{
    ClaimedDelivery, DeliveryAttempt, DeliveryFence, DeliveryId, EventId, OrganizationId, RetrySchedule, Verdict,
    WebhookId, WebhookUrl,
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements, webhooks};

/// Seconds that a claim holds: longer than a call may take, so that two dispatchers never send the same delivery at once.
pub const LEASE_SECONDS: f64 = 45.0;

statements! {
    // One claim at a time, for only so do two dispatchers together keep to the limit of a webhook.
    LOCK_CLAIMS = "-- deliveries.lease.lock_claims
SELECT pg_advisory_xact_lock(7161700303)";

    // Each webhook offers as many as it may still have under way, however many are due, so that none hides another: its
    // row in `waiting` is found by one step in the index. Held webhooks and those with all their sends under way are
    // passed over; the others take turns, the longest due first.
    CLAIM = "-- deliveries.lease.claim
WITH RECURSIVE waiting AS (
  (SELECT webhook_id FROM deliveries WHERE state = 'pending' ORDER BY webhook_id LIMIT 1)
  UNION ALL
  SELECT (SELECT d.webhook_id FROM deliveries AS d
          WHERE d.state = 'pending' AND d.webhook_id > w.webhook_id
          ORDER BY d.webhook_id LIMIT 1)
  FROM waiting AS w
  WHERE w.webhook_id IS NOT NULL
), sending AS (
  SELECT webhook_id, count(*) AS busy
  FROM deliveries
  WHERE state = 'sending'
  GROUP BY webhook_id
), open AS (
  SELECT w.id, coalesce(s.busy, 0) AS busy
  FROM waiting AS one
  JOIN webhooks AS w ON w.id = one.webhook_id
  LEFT JOIN sending AS s ON s.webhook_id = w.id
  WHERE w.deleted_at IS NULL AND w.disabled_at IS NULL AND (w.held_until IS NULL OR w.held_until <= now())
    AND coalesce(s.busy, 0) < $2
), ranked AS (
  SELECT due.id, due.next_attempt_at,
         o.busy + row_number() OVER (PARTITION BY o.id ORDER BY due.next_attempt_at, due.id) AS place
  FROM open AS o
  CROSS JOIN LATERAL (
    SELECT d.id, d.next_attempt_at
    FROM deliveries AS d
    WHERE d.webhook_id = o.id AND d.state = 'pending' AND d.next_attempt_at <= now()
    ORDER BY d.next_attempt_at, d.id
    LIMIT $2 - o.busy
  ) AS due
), chosen AS (
  SELECT id
  FROM ranked
  ORDER BY place, next_attempt_at
  LIMIT $1
), locked AS (
  SELECT d.id
  FROM deliveries AS d
  JOIN chosen AS c ON c.id = d.id
  WHERE d.state = 'pending'
  FOR UPDATE OF d SKIP LOCKED
)
UPDATE deliveries AS d
SET state = 'sending', attempt = d.attempt + 1, next_attempt_at = NULL,
    lease_until = now() + make_interval(secs => $3)
FROM locked AS c, webhooks AS w
WHERE d.id = c.id AND w.id = d.webhook_id AND w.deleted_at IS NULL AND w.disabled_at IS NULL
RETURNING d.id, d.attempt, d.organization_id, d.webhook_id, d.event_id, d.body, w.url, w.secret,
          (SELECT count(*) FROM delivery_attempts AS a WHERE a.delivery_id = d.id) AS failures,
          (SELECT e.traceparent FROM events AS e WHERE e.id = d.event_id) AS traceparent";

    LOCK_WEBHOOK = "-- deliveries.lease.lock_webhook
SELECT id FROM webhooks WHERE id = $1 FOR NO KEY UPDATE";

    // Several receivers behind one URL may ask for different pauses: the longest counts.
    HOLD = "-- deliveries.lease.hold
UPDATE webhooks
SET held_until = now() + make_interval(secs => $2)
WHERE id = $1 AND (held_until IS NULL OR held_until < now() + make_interval(secs => $2))";

    // The fence: a claim whose lease was taken back changes nothing.
    FINISH = "-- deliveries.lease.finish
UPDATE deliveries
SET state = $3, lease_until = NULL,
    next_attempt_at = CASE WHEN $3 = 'pending' THEN now() + make_interval(secs => $4) END,
    ended_at = CASE WHEN $3 <> 'pending' THEN now() END
WHERE id = $1 AND attempt = $2 AND state = 'sending'";

    LOG = "-- deliveries.lease.log
INSERT INTO delivery_attempts
  (organization_id, delivery_id, attempt, started_at, duration_ms, status, error, error_class, response, peer)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

    RELEASE = "-- deliveries.lease.release
UPDATE deliveries AS d
SET state = 'pending', lease_until = NULL, next_attempt_at = now()
FROM unnest($1::uuid[], $2::integer[]) AS held (id, attempt)
WHERE d.id = held.id AND d.attempt = held.attempt AND d.state = 'sending'";

    // Nobody knows how those attempts ended: they count as failed, and the event may arrive twice.
    TAKE_BACK = "-- deliveries.lease.take_back
WITH lost AS (
  SELECT id, lease_until
  FROM deliveries
  WHERE state = 'sending' AND lease_until < now()
  ORDER BY lease_until
  LIMIT 500
  FOR UPDATE SKIP LOCKED
), back AS (
  UPDATE deliveries AS d
  SET state = CASE WHEN tried.attempts < $1 THEN 'pending' ELSE 'exhausted' END,
      next_attempt_at = CASE WHEN tried.attempts < $1 THEN now() END,
      ended_at = CASE WHEN tried.attempts < $1 THEN NULL ELSE now() END,
      lease_until = NULL
  FROM lost, LATERAL (
    SELECT count(*) + 1 AS attempts FROM delivery_attempts AS a WHERE a.delivery_id = lost.id
  ) AS tried
  WHERE d.id = lost.id
  RETURNING d.organization_id, d.id, d.attempt, lost.lease_until
)
INSERT INTO delivery_attempts (organization_id, delivery_id, attempt, started_at, duration_ms, error, error_class)
SELECT organization_id, id, attempt, lease_until - make_interval(secs => $2), ($2 * 1000)::bigint,
       'the attempt was interrupted', 'interrupted'
FROM back
ON CONFLICT DO NOTHING";

    // A retry may be written in the very moment in which its webhook goes.
    DROP_ORPHANS = "-- deliveries.lease.drop_orphans
UPDATE deliveries AS d
SET state = CASE WHEN w.deleted_at IS NULL THEN 'exhausted' ELSE 'withdrawn' END, next_attempt_at = NULL,
    ended_at = now()
FROM webhooks AS w
WHERE w.id = d.webhook_id AND d.state = 'pending' AND d.next_attempt_at <= now()
  AND (w.deleted_at IS NOT NULL OR w.disabled_at IS NOT NULL)";
}

/// How a claimed delivery went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// What was done.
    pub attempt: DeliveryAttempt,
    /// What follows.
    pub verdict: Verdict,
    /// For how long nothing at all is sent to the webhook.
    pub hold: Option<Duration>,
    /// The address that was called, as far as it was known; for operators alone.
    pub peer: Option<IpAddr>,
}

/// Takes due deliveries of all organizations: `at_most` in all, and no more than leaves `per_webhook` under way.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.deliveries.claim", skip_all, err(level = "debug"))]
pub async fn claim(tx: &Tx<'_>, at_most: i64, per_webhook: i64) -> Result<Vec<ClaimedDelivery>, StoreError> {
    tx.execute(LOCK_CLAIMS, &[]).await?;
    let rows = tx.query(CLAIM, &[&at_most, &per_webhook, &LEASE_SECONDS]).await?;
    Ok(rows.iter().map(claimed).collect::<Result<_, _>>()?)
}

/// Ends a claim, logs its attempt, and holds its webhook when the receiver asked for that. `false` when the claim was taken back meanwhile: then nothing is changed.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.deliveries.finish", skip_all, fields(delivery.id = %delivery.fence.delivery_id), err(level = "debug"))]
pub async fn finish(
    tx: &Tx<'_>,
    delivery: &ClaimedDelivery,
    finished: &Finished,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (state, wait) = match finished.verdict {
        Verdict::Delivered => ("delivered", 0.0),
        Verdict::Retry { after } => ("pending", after.as_secs_f64()),
        Verdict::Exhausted | Verdict::Gone => ("exhausted", 0.0),
    };
    let DeliveryFence { delivery_id, attempt } = delivery.fence;
    let webhook = delivery.webhook_id.uuid();
    if finished.hold.is_some() || finished.verdict == Verdict::Gone {
        tx.execute(LOCK_WEBHOOK, &[&webhook]).await?;
    }
    if tx.execute(FINISH, &[&delivery_id.uuid(), &attempt, &state, &wait]).await? == 0 {
        return Ok(false);
    }
    log(tx, delivery, finished).await?;
    if let Some(hold) = finished.hold {
        tx.execute(HOLD, &[&webhook, &hold.as_secs_f64()]).await?;
    }
    if finished.verdict == Verdict::Gone {
        webhooks::disable(tx, delivery.webhook_id, "the receiver answered 410 Gone", now).await?;
    }
    Ok(true)
}

async fn log(tx: &Tx<'_>, delivery: &ClaimedDelivery, finished: &Finished) -> Result<(), StoreError> {
    let DeliveryFence { delivery_id, attempt } = delivery.fence;
    let log = &finished.attempt;
    tx.execute_one(
        LOG,
        &[
            &delivery.organization_id.uuid(),
            &delivery_id.uuid(),
            &attempt,
            &log.started_at,
            &log.duration_ms,
            &log.status.map(i32::from),
            &log.error,
            &log.error_class,
            &log.response,
            &finished.peer.map(|address| address.to_string()),
        ],
    )
    .await
}

/// Gives claims back that were not acted on: no attempt is counted.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.deliveries.release", skip_all, err(level = "debug"))]
pub async fn release(tx: &Tx<'_>, held: &[DeliveryFence]) -> Result<u64, StoreError> {
    let ids: Vec<Uuid> = held.iter().map(|fence| fence.delivery_id.uuid()).collect();
    let attempts: Vec<i32> = held.iter().map(|fence| fence.attempt).collect();
    tx.execute(RELEASE, &[&ids, &attempts]).await
}

/// Puts back what dispatchers held when they died, and ends what has no receiver any more. Says how many were put back.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.deliveries.repair", skip_all, err(level = "debug"))]
pub async fn repair(tx: &Tx<'_>) -> Result<u64, StoreError> {
    let most = i64::try_from(RetrySchedule::DELIVERIES.attempts()).unwrap_or(i64::MAX);
    let back = tx.execute(TAKE_BACK, &[&most, &LEASE_SECONDS]).await?;
    tx.execute(DROP_ORPHANS, &[]).await?;
    Ok(back)
}

fn claimed(row: &Row) -> Result<ClaimedDelivery, Inconsistent> {
    let columns = Columns::new("deliveries", row);
    let failures: i64 = columns.get("failures")?;
    Ok(ClaimedDelivery {
        fence: DeliveryFence {
            delivery_id: DeliveryId::from_uuid(columns.get("id")?),
            attempt: columns.get("attempt")?,
        },
        organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
        webhook_id: WebhookId::from_uuid(columns.get("webhook_id")?),
        event_id: EventId::from_uuid(columns.get("event_id")?),
        url: WebhookUrl::parse(columns.get("url")?).map_err(|_| columns.inconsistent("url"))?,
        sealed_secret: columns.get("secret")?,
        body: columns.get("body")?,
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
        traceparent: columns.get("traceparent")?,
    })
}
