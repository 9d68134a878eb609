//! Events: appended in the transaction that caused them, numbered and relayed afterwards.
//! An event is marked as published only after the broker confirmed it; so it may be published twice, never not at all.

use jiff::Timestamp;
use picket_domain::{Event, EventBody, EventId, OrganizationId};
use tokio_postgres::{
    Row,
    types::{Json, ToSql},
};
use uuid::Uuid;

use crate::{Inconsistent, Notice, StoreError, Tx, row::Columns, statements::statements};

statements! {
    APPEND = "-- events.append
INSERT INTO events (id, organization_id, name, routing_key, public, scan_id, body, traceparent, at)
SELECT e.id, e.organization_id, e.name, e.routing_key, e.public, e.scan_id, e.body, e.traceparent, $1
FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bool[], $7::uuid[], $8::jsonb[], $9::text[])
  AS e (id, organization_id, name, routing_key, public, scan_id, body, traceparent)";

    // As if a relay had claimed them: whoever writes them publishes them next, and a relay does if that does not happen.
    APPEND_CLAIMED = "-- events.append_claimed
INSERT INTO events (id, organization_id, name, routing_key, public, scan_id, body, traceparent, at, claimed_until)
SELECT e.id, e.organization_id, e.name, e.routing_key, false, e.scan_id, e.body, e.traceparent, $1,
       now() + make_interval(secs => $9)
FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::jsonb[], $8::text[])
  AS e (id, organization_id, name, routing_key, scan_id, body, traceparent)
RETURNING position, id, organization_id, sequence, routing_key, at, body, traceparent";

    // One numbering at a time: an organization's numbers follow the order of writing, without gaps.
    LOCK_NUMBERING = "-- events.lock_numbering
SELECT pg_try_advisory_xact_lock(7161700301) AS locked";

    NUMBER = "-- events.number
WITH unnumbered AS (
  SELECT position, organization_id
  FROM events
  WHERE public AND sequence IS NULL
  ORDER BY position
  LIMIT 1000
), ranked AS (
  SELECT position, organization_id, row_number() OVER (PARTITION BY organization_id ORDER BY position) AS place
  FROM unnumbered
), counted AS (
  SELECT organization_id, count(*) AS added FROM ranked GROUP BY organization_id
), bumped AS (
  UPDATE organizations AS o
  SET event_sequence = o.event_sequence + c.added
  FROM counted AS c
  WHERE o.id = c.organization_id
  RETURNING o.id, o.event_sequence - c.added AS before
)
UPDATE events AS e
SET sequence = b.before + r.place
FROM ranked AS r
JOIN bumped AS b ON b.id = r.organization_id
WHERE e.position = r.position";

    CLAIM = "-- events.claim
UPDATE events
SET claimed_until = now() + interval '30 seconds'
WHERE position IN (
  SELECT position
  FROM events
  WHERE published_at IS NULL
    AND (claimed_until IS NULL OR claimed_until < now())
    AND (NOT public OR sequence IS NOT NULL)
  ORDER BY position
  LIMIT $1
  FOR UPDATE SKIP LOCKED
)
RETURNING position, id, organization_id, sequence, routing_key, at, body, traceparent";

    // By the id too: a crash may take back what was written lightly, and its places are given out again.
    MARK_PUBLISHED = "-- events.mark_published
UPDATE events
SET published_at = now(), claimed_until = NULL
WHERE (position, id) IN (SELECT * FROM unnest($1::bigint[], $2::uuid[])) AND public AND published_at IS NULL";

    // What only processes hear has served its purpose once it is on the broker.
    FORGET_PUBLISHED = "-- events.forget_published
DELETE FROM events
WHERE (position, id) IN (SELECT * FROM unnest($1::bigint[], $2::uuid[])) AND NOT public";

    RELEASE = "-- events.release
UPDATE events
SET claimed_until = NULL
WHERE (position, id) IN (SELECT * FROM unnest($1::bigint[], $2::uuid[])) AND published_at IS NULL";

    FIND = "-- events.find
SELECT position, id, organization_id, sequence, routing_key, at, body, traceparent
FROM events
WHERE id = $1";

    BACKLOG = "-- events.backlog
SELECT count(*) AS waiting, coalesce(extract(epoch FROM now() - min(at)), 0)::float8 AS oldest_seconds
FROM events
WHERE published_at IS NULL";
}

/// How long what is in hand is left alone: a confirm takes milliseconds, one that takes longer costs
/// a message that comes twice, and a steward that died must not cost more.
const IN_HAND_SECONDS: f64 = 3.0;

/// An event on its way to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its place in the order of writing.
    pub position: i64,
    /// Where the broker routes it.
    pub routing_key: String,
    /// The event.
    pub event: Event,
}

/// How much waits for the relay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backlog {
    /// Events that are not on the broker.
    pub waiting: i64,
    /// Age of the oldest of them, in seconds.
    pub oldest_seconds: f64,
}

/// Records events in the transaction that caused them.
pub(crate) async fn append(
    tx: &Tx<'_>,
    organization: OrganizationId,
    bodies: &[EventBody],
    traceparent: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let all: Vec<_> = bodies.iter().map(|body| (organization, body, traceparent)).collect();
    append_all(tx, &all, now).await
}

/// The same for events of several organizations, each with the trace that caused it.
pub(crate) async fn append_all(
    tx: &Tx<'_>,
    events: &[(OrganizationId, &EventBody, Option<&str>)],
    now: Timestamp,
) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let Columned { ids, of, names, keys, public, scans, data, traces } = Columned::of(events, now);
    tx.execute(APPEND, &[&now, &ids, &of, &names, &keys, &public, &scans, &data, &traces]).await?;
    tx.notify(Notice::Events);
    Ok(())
}

/// Records events that only processes hear, and hands them to whoever publishes them once this transaction is committed: no
/// relay takes them for [`IN_HAND_SECONDS`].
pub(crate) async fn append_in_hand(
    tx: &Tx<'_>,
    events: &[(OrganizationId, &EventBody, Option<&str>)],
    now: Timestamp,
) -> Result<Vec<Outgoing>, StoreError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let Columned { ids, of, names, keys, public: _, scans, data, traces } = Columned::of(events, now);
    let rows =
        tx.query(APPEND_CLAIMED, &[&now, &ids, &of, &names, &keys, &scans, &data, &traces, &IN_HAND_SECONDS]).await?;
    let mut written = rows.iter().map(outgoing).collect::<Result<Vec<_>, _>>()?;
    written.sort_by_key(|event| event.position);
    Ok(written)
}

/// Events, column by column.
struct Columned<'a> {
    ids: Vec<Uuid>,
    of: Vec<Uuid>,
    names: Vec<&'static str>,
    keys: Vec<String>,
    public: Vec<bool>,
    scans: Vec<Option<Uuid>>,
    data: Vec<Json<&'a EventBody>>,
    traces: Vec<Option<&'a str>>,
}

impl<'a> Columned<'a> {
    fn of(events: &[(OrganizationId, &'a EventBody, Option<&'a str>)], now: Timestamp) -> Self {
        let bodies = || events.iter().map(|(_, body, _)| *body);
        Self {
            ids: events.iter().map(|_| EventId::mint(now).uuid()).collect(),
            of: events.iter().map(|(organization, ..)| organization.uuid()).collect(),
            names: bodies().map(EventBody::name).collect(),
            keys: bodies().map(EventBody::routing_key).collect(),
            public: bodies().map(EventBody::is_public).collect(),
            scans: bodies().map(|body| body.scan_id().map(|id| id.uuid())).collect(),
            data: bodies().map(Json).collect(),
            traces: events.iter().map(|(.., trace)| *trace).collect(),
        }
    }
}

/// Gives public events their numbers; does nothing while another process does the same.
#[tracing::instrument(name = "db.events.number", skip_all, err(level = "debug"))]
pub async fn number(tx: &Tx<'_>) -> Result<u64, StoreError> {
    let locked: bool = tx.query_one(LOCK_NUMBERING, &[]).await?.try_get("locked")?;
    if locked { tx.execute(NUMBER, &[]).await } else { Ok(0) }
}

/// Takes events to publish, oldest first; they come back by themselves 30 seconds later unless they are marked.
#[tracing::instrument(name = "db.events.claim", skip_all, err(level = "debug"))]
pub async fn claim(tx: &Tx<'_>, at_most: i64) -> Result<Vec<Outgoing>, StoreError> {
    let rows = tx.query(CLAIM, &[&at_most]).await?;
    let mut events: Vec<Outgoing> = rows.iter().filter_map(readable).collect();
    events.sort_by_key(|event| event.position);
    Ok(events)
}

/// The broker confirmed these.
#[tracing::instrument(name = "db.events.mark_published", skip_all, err(level = "debug"))]
pub async fn mark_published(tx: &Tx<'_>, published: &[&Outgoing]) -> Result<(), StoreError> {
    tx.prepare(&[MARK_PUBLISHED, FORGET_PUBLISHED]).await?;
    let (positions, ids) = places(published);
    let places: [&(dyn ToSql + Sync); 2] = [&positions, &ids];
    tokio::try_join!(biased; tx.execute(MARK_PUBLISHED, &places), tx.execute(FORGET_PUBLISHED, &places))?;
    Ok(())
}

/// The broker did not take these; the next round may.
#[tracing::instrument(name = "db.events.release", skip_all, err(level = "debug"))]
pub async fn release(tx: &Tx<'_>, kept: &[&Outgoing]) -> Result<(), StoreError> {
    if kept.is_empty() {
        return Ok(());
    }
    let (positions, ids) = places(kept);
    tx.execute(RELEASE, &[&positions, &ids]).await?;
    Ok(())
}

fn places(events: &[&Outgoing]) -> (Vec<i64>, Vec<Uuid>) {
    events.iter().map(|one| (one.position, one.event.id.uuid())).unzip()
}

/// The event, unless the tenant has none of that id.
#[tracing::instrument(name = "db.events.find", skip_all, fields(event.id = %id), err(level = "debug"))]
pub async fn find(tx: &Tx<'_>, id: EventId) -> Result<Option<Event>, StoreError> {
    let row = tx.query_opt(FIND, &[&id.uuid()]).await?;
    Ok(row.as_ref().map(outgoing).transpose()?.map(|outgoing| outgoing.event))
}

/// How much waits for the relay.
#[tracing::instrument(name = "db.events.backlog", skip_all, err(level = "debug"))]
pub async fn backlog(tx: &Tx<'_>) -> Result<Backlog, StoreError> {
    let row = tx.query_one(BACKLOG, &[]).await?;
    let columns = Columns::new("events", &row);
    Ok(Backlog { waiting: columns.get("waiting")?, oldest_seconds: columns.get("oldest_seconds")? })
}

/// An event that this version cannot read (a newer one wrote it) must not hold up all others; it comes again by itself.
fn readable(row: &Row) -> Option<Outgoing> {
    outgoing(row)
        .inspect_err(|error| {
            let position: Option<i64> = row.try_get("position").ok();
            tracing::error!(error = picket_domain::cause(error), event.position = position, "an event cannot be read");
        })
        .ok()
}

/// Reads an event out of a row that has the columns of `FIND`.
pub(crate) fn outgoing(row: &Row) -> Result<Outgoing, Inconsistent> {
    let columns = Columns::new("events", row);
    Ok(Outgoing {
        position: columns.get("position")?,
        routing_key: columns.get("routing_key")?,
        event: Event {
            id: EventId::from_uuid(columns.get("id")?),
            organization_id: OrganizationId::from_uuid(columns.get("organization_id")?),
            sequence: columns.get("sequence")?,
            at: columns.get("at")?,
            body: columns.json("body")?,
            traceparent: columns.get("traceparent")?,
        },
    })
}
