//! Findings and their sightings. `(organization, fingerprint)` is unique, so that a redelivered task changes nothing and
//! a rescan finds what it knows.

use std::collections::BTreeMap;

use jiff::Timestamp;
use picket_domain::{ClaimedTask, EventBody, FindingFound, FindingId, Observation, Protocol, Severity};
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::{StoreError, Tx, events, row::Columns, statements::statements};

/// Rows of one statement; keeps messages to the database small.
const BATCH: usize = 1_000;

statements! {
    // In the order of the identities, so that two writers of the same findings wait for each other and never deadlock.
    RECORD = "-- findings.record
INSERT INTO findings (id, organization_id, fingerprint, rule, cve, host, port, protocol, url, subject, first_scan_id,
                      first_seen_at, title, severity, cvss, description, remediation, service, last_scan_id,
                      last_seen_at)
SELECT f.id, $1, sha256(convert_to(f.identity, 'UTF8')), f.rule, f.cve, f.host, f.port, f.protocol, f.url, f.subject,
       $2, $3, f.title, f.severity, f.cvss, f.description, f.remediation, f.service, $2, $3
FROM unnest($4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::integer[], $10::text[], $11::text[],
            $12::text[], $13::text[], $14::text[], $15::float8[], $16::text[], $17::text[], $18::jsonb[])
  AS f (id, identity, rule, cve, host, port, protocol, url, subject, title, severity, cvss, description, remediation,
        service)
ON CONFLICT ON CONSTRAINT a_finding_is_known_once DO UPDATE
SET title = excluded.title, severity = excluded.severity, cvss = excluded.cvss, description = excluded.description,
    remediation = excluded.remediation, service = excluded.service, last_scan_id = excluded.last_scan_id,
    last_seen_at = excluded.last_seen_at
RETURNING id, (first_scan_id = $2 AND xmax = 0) AS is_new, severity, encode(fingerprint, 'hex') AS fingerprint";

    SIGHT = "-- findings.sight
INSERT INTO sightings (organization_id, scan_id, finding_id, task_id, attempt, severity, cvss, evidence, seen_at)
SELECT $1, $2, f.id, $3, $4, s.severity, s.cvss, s.evidence, $5
FROM unnest($6::text[], $7::text[], $8::float8[], $9::text[]) AS s (identity, severity, cvss, evidence)
JOIN findings AS f ON f.organization_id = $1 AND f.fingerprint = sha256(convert_to(s.identity, 'UTF8'))
ON CONFLICT (scan_id, finding_id) DO NOTHING";
}

/// Stores what a task found, in the transaction that ends it: findings, sightings, and an event for each finding that is
/// new and at least low.
pub(crate) async fn record(
    tx: &Tx<'_>,
    task: &ClaimedTask,
    observations: &[Observation],
    now: Timestamp,
) -> Result<(), StoreError> {
    let distinct: Vec<(String, &Observation)> = distinct(observations).into_iter().collect();
    for batch in distinct.chunks(BATCH) {
        let new = record_batch(tx, task, batch, now).await?;
        sight_batch(tx, task, batch, now).await?;
        events::append(tx, task.organization_id, &new, task.traceparent.as_deref(), now).await?;
    }
    Ok(())
}

/// One observation per identity, the worst; ordered by identity.
fn distinct(observations: &[Observation]) -> BTreeMap<String, &Observation> {
    let mut distinct: BTreeMap<String, &Observation> = BTreeMap::new();
    for observation in observations {
        let known = distinct.entry(storable(&observation.identity())).or_insert(observation);
        if observation.severity > known.severity {
            *known = observation;
        }
    }
    distinct
}

async fn record_batch(
    tx: &Tx<'_>,
    task: &ClaimedTask,
    batch: &[(String, &Observation)],
    now: Timestamp,
) -> Result<Vec<EventBody>, StoreError> {
    fn column<T>(batch: &[(String, &Observation)], value: impl Fn(&Observation) -> T) -> Vec<T> {
        batch.iter().map(|(_, observation)| value(observation)).collect()
    }
    let ids: Vec<Uuid> = batch.iter().map(|_| FindingId::mint(now).uuid()).collect();
    let identities: Vec<&str> = batch.iter().map(|(identity, _)| identity.as_str()).collect();
    let rows = tx
        .query(
            RECORD,
            &[
                &task.organization_id.uuid(),
                &task.scan_id.uuid(),
                &now,
                &ids,
                &identities,
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
    batch: &[(String, &Observation)],
    now: Timestamp,
) -> Result<(), StoreError> {
    let identities: Vec<&str> = batch.iter().map(|(identity, _)| identity.as_str()).collect();
    let severities: Vec<&str> = batch.iter().map(|(_, one)| one.severity.name()).collect();
    let scores: Vec<Option<f64>> = batch.iter().map(|(_, one)| score(one)).collect();
    let evidence: Vec<String> = batch.iter().map(|(_, one)| storable(&one.evidence)).collect();
    tx.execute(
        SIGHT,
        &[
            &task.organization_id.uuid(),
            &task.scan_id.uuid(),
            &task.fence.task_id.uuid(),
            &task.fence.attempt,
            &now,
            &identities,
            &severities,
            &scores,
            &evidence,
        ],
    )
    .await?;
    Ok(())
}

/// A score as the column takes it; a tool's nonsense counts as no score.
fn score(observation: &Observation) -> Option<f64> {
    observation.cvss.filter(|score| (0.0..=10.0).contains(score))
}

/// Text as Postgres takes it: it has no NUL.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
