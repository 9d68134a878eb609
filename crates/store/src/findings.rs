//! Findings and their sightings. `(organization, fingerprint)` is unique, so that a redelivered task changes nothing and
//! a rescan finds what it knows.
//!
//! Several tools may see one finding in one scan. Then it is one finding with several sources, and what is kept does not
//! depend on who came first, nor on another scan in between: the worst severity, the highest score, the surest word, the
//! richer text, and of what is equally rich always the same (the order of the bytes decides). A later scan says
//! anew how bad it is, but what it does not know (the software behind a port, a CWE) it does not take away.

mod distinct;
pub mod list;

use jiff::Timestamp;
use picket_domain::{ClaimedTask, EventBody, FindingFound, FindingId, Observation, Protocol, Severity};
use tokio_postgres::types::Json;
use uuid::Uuid;

use self::distinct::{Distinct, distinct, score};
use crate::{StoreError, Tx, events, row::Columns, statements::statements};

/// Rows of one statement; keeps messages to the database small.
const BATCH: usize = 1_000;

statements! {
    // In the order of the fingerprints, so that two writers of the same findings wait for each other and never deadlock.
    RECORD = "-- findings.record
INSERT INTO findings AS known (
    id, organization_id, fingerprint, rule, cve, host, port, protocol, url, subject, first_scan_id, first_seen_at, title,
    severity, cvss, description, remediation, service, confidence, cwe, refs, last_scan_id, last_seen_at)
SELECT f.id, $1, f.fingerprint, f.rule, f.cve, f.host, f.port, f.protocol, f.url, f.subject, $2, $3, f.title,
       f.severity, f.cvss, f.description, f.remediation, f.service, f.confidence, f.cwe,
       ARRAY(SELECT jsonb_array_elements_text(f.refs)), $2, $3
FROM unnest($4::uuid[], $5::bytea[], $6::text[], $7::text[], $8::text[], $9::integer[], $10::text[], $11::text[],
            $12::text[], $13::text[], $14::text[], $15::float8[], $16::text[], $17::text[], $18::jsonb[], $19::text[],
            $20::integer[], $21::jsonb[])
  AS f (id, fingerprint, rule, cve, host, port, protocol, url, subject, title, severity, cvss, description, remediation,
        service, confidence, cwe, refs)
ON CONFLICT ON CONSTRAINT a_finding_is_known_once DO UPDATE
SET (severity, title, cvss, description, remediation, service, confidence, cwe, refs, last_scan_id, last_seen_at) = (
    SELECT CASE WHEN again THEN picket_worse(picket_worse(known.severity, excluded.severity), worst)
                ELSE excluded.severity END,
           CASE WHEN again AND (
                     picket_worse(known.severity, excluded.severity) <> excluded.severity
                     OR known.severity = excluded.severity
                        AND (length(known.title), known.title COLLATE \"C\")
                            >= (length(excluded.title), excluded.title COLLATE \"C\"))
                THEN known.title ELSE excluded.title END,
           CASE WHEN again THEN greatest(known.cvss, excluded.cvss, score)
                ELSE coalesce(excluded.cvss, known.cvss) END,
           CASE WHEN excluded.description = ''
                  OR again AND (length(known.description), known.description COLLATE \"C\")
                               >= (length(excluded.description), excluded.description COLLATE \"C\")
                THEN known.description ELSE excluded.description END,
           CASE WHEN excluded.remediation = ''
                  OR again AND (length(known.remediation), known.remediation COLLATE \"C\")
                               >= (length(excluded.remediation), excluded.remediation COLLATE \"C\")
                THEN known.remediation ELSE excluded.remediation END,
           picket_richer_service(known.service, excluded.service, again),
           CASE WHEN again AND array_position(ARRAY['high', 'medium', 'low'], known.confidence)
                               < array_position(ARRAY['high', 'medium', 'low'], excluded.confidence)
                THEN known.confidence ELSE excluded.confidence END,
           CASE WHEN again THEN least(known.cwe, excluded.cwe) ELSE coalesce(excluded.cwe, known.cwe) END,
           CASE WHEN cardinality(excluded.refs) = 0
                  OR again AND (cardinality(known.refs), known.refs COLLATE \"C\")
                               >= (cardinality(excluded.refs), excluded.refs COLLATE \"C\")
                THEN known.refs ELSE excluded.refs END,
           excluded.last_scan_id, excluded.last_seen_at
    -- The row itself tells of a task of this scan that ended while this statement waited for it.
    FROM (SELECT known.last_scan_id = $2 OR count(*) > 0 AS again, coalesce(max(s.severity), 'unknown') AS worst,
                 max(s.cvss) AS score
          FROM sightings AS s WHERE s.scan_id = $2 AND s.finding_id = known.id) AS sighted)
RETURNING id, (first_scan_id = $2 AND xmax = 0) AS is_new, severity";

    // The fence stays that of the first task that saw it.
    SIGHT = "-- findings.sight
INSERT INTO sightings AS known (
    organization_id, scan_id, finding_id, task_id, attempt, severity, cvss, evidence, sources, seen_at)
SELECT $1, $2, f.id, $3, $4, s.severity, s.cvss, s.evidence, ARRAY[$10::text], $5
FROM unnest($6::bytea[], $7::text[], $8::float8[], $9::text[]) AS s (fingerprint, severity, cvss, evidence)
JOIN findings AS f ON f.organization_id = $1 AND f.fingerprint = s.fingerprint
ON CONFLICT (scan_id, finding_id) DO UPDATE
SET severity = picket_worse(known.severity, excluded.severity),
    cvss = greatest(known.cvss, excluded.cvss),
    evidence = CASE WHEN (length(excluded.evidence), excluded.evidence COLLATE \"C\")
                         > (length(known.evidence), known.evidence COLLATE \"C\") THEN excluded.evidence
                    ELSE known.evidence END,
    sources = CASE WHEN known.sources @> excluded.sources THEN known.sources
                   ELSE ARRAY(SELECT unnest(known.sources || excluded.sources) ORDER BY 1) END";
}

/// Stores what a task found, in the transaction that ends it: findings, sightings, and an event for each finding that is
/// new and at least low.
pub(crate) async fn record(
    tx: &Tx<'_>,
    task: &ClaimedTask,
    observations: &[Observation],
    now: Timestamp,
) -> Result<(), StoreError> {
    let distinct = distinct(observations);
    for batch in distinct.chunks(BATCH) {
        let new = record_batch(tx, task, batch, now).await?;
        sight_batch(tx, task, batch, now).await?;
        events::append(tx, task.organization_id, &new, task.traceparent.as_deref(), now).await?;
    }
    Ok(())
}

/// What each observation of a batch says.
fn column<T>(batch: &[Distinct<'_>], value: impl Fn(&Observation) -> T) -> Vec<T> {
    batch.iter().map(|(_, observation)| value(observation)).collect()
}

fn fingerprints<'a>(batch: &'a [Distinct<'_>]) -> Vec<&'a [u8]> {
    batch.iter().map(|(fingerprint, _)| fingerprint.as_slice()).collect()
}

async fn record_batch(
    tx: &Tx<'_>,
    task: &ClaimedTask,
    batch: &[Distinct<'_>],
    now: Timestamp,
) -> Result<Vec<EventBody>, StoreError> {
    let ids: Vec<Uuid> = batch.iter().map(|_| FindingId::mint(now).uuid()).collect();
    let rows = tx
        .query(
            RECORD,
            &[
                &task.organization_id.uuid(),
                &task.scan_id.uuid(),
                &now,
                &ids,
                &fingerprints(batch),
                &column(batch, |one| storable(&one.rule)),
                &column(batch, |one| one.cve.as_deref().map(storable)),
                &column(batch, |one| storable(&one.location.host)),
                &column(batch, |one| one.location.port.map(i32::from)),
                &column(batch, |one| one.location.protocol.map(Protocol::name)),
                &column(batch, |one| one.location.url.as_deref().map(storable)),
                &column(batch, |one| storable(&one.subject)),
                &column(batch, |one| storable(&one.title)),
                &column(batch, |one| one.severity.name()),
                &column(batch, score),
                &column(batch, |one| storable(&one.description)),
                &column(batch, |one| storable(&one.remediation)),
                &column(batch, |one| one.service.clone().map(Json)),
                &column(batch, |one| one.confidence.name()),
                &column(batch, |one| one.cwe.and_then(|cwe| i32::try_from(cwe).ok())),
                &column(batch, |one| Json(one.references.iter().map(|text| storable(text)).collect::<Vec<_>>())),
            ],
        )
        .await?;
    let mut new = Vec::new();
    for row in &rows {
        let columns = Columns::new("findings", row);
        let severity = columns.named("severity", Severity::find)?;
        if columns.get("is_new")? && severity >= Severity::Low {
            let finding_id = FindingId::from_uuid(columns.get("id")?);
            new.push(EventBody::FindingFound(FindingFound { finding_id, scan_id: task.scan_id, severity }));
        }
    }
    Ok(new)
}

async fn sight_batch(
    tx: &Tx<'_>,
    task: &ClaimedTask,
    batch: &[Distinct<'_>],
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(
        SIGHT,
        &[
            &task.organization_id.uuid(),
            &task.scan_id.uuid(),
            &task.fence.task_id.uuid(),
            &task.fence.attempt,
            &now,
            &fingerprints(batch),
            &column(batch, |one| one.severity.name()),
            &column(batch, score),
            &column(batch, |one| storable(&one.evidence)),
            &task.tool,
        ],
    )
    .await?;
    Ok(())
}

/// Text as Postgres takes it: it has no NUL.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
