//! News of a scan's end for whoever asked for them (`docs/contract.md` §11): noted in the transaction that ends the scan, once,
//! and put together when they are sent. Only then is it looked at who may still read them.

use jiff::{SignedDuration, Timestamp};
use picket_domain::{ApiKeyId, Locale, MailId, Scan, ScanId, SeverityCounts, UserId};
use tokio_postgres::Row;

use crate::{Inconsistent, Notice, StoreError, Tx, row::Columns, scans::overview::counted, statements::statements};

/// How long the news are worth sending.
const WORTH_SENDING: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Ends of scans that one organization is told of within an hour; of the others its lists and webhooks tell.
const MOST_AN_HOUR: i64 = 60;

statements! {
    // For a key it is its maker. Nobody is told who is no member any more.
    WRITE = "-- mails.scan_end.write
INSERT INTO mails (id, organization_id, scan_id, reader, locale, template, created_at, expires_at, next_attempt_at)
SELECT $1, m.organization_id, $3, m.user_id, 'en', 'scan_ended', $6, $7, now()
FROM memberships AS m
WHERE m.organization_id = $2
  AND m.user_id = coalesce($4, (SELECT k.created_by FROM api_keys AS k WHERE k.id = $5 AND k.organization_id = $2))
  AND $8 > (
    SELECT count(*)
    FROM mails AS e
    WHERE e.organization_id = $2 AND e.scan_id IS NOT NULL AND e.created_at > $6::timestamptz - interval '1 hour'
  )
ON CONFLICT (scan_id) WHERE scan_id IS NOT NULL DO NOTHING";

    READ = "-- mails.scan_end.read
SELECT u.email, u.name, u.locale, o.name AS organization, s.id AS scan_id, s.target, s.state, s.ended_at, f.severities,
       f.sightings
FROM mails AS m
JOIN scans AS s ON s.id = m.scan_id
JOIN organizations AS o ON o.id = m.organization_id
JOIN memberships AS k ON k.organization_id = m.organization_id AND k.user_id = m.reader
JOIN users AS u ON u.id = m.reader
CROSS JOIN LATERAL (
  SELECT array_agg(severity) AS severities, array_agg(found) AS sightings
  FROM (SELECT g.severity, count(*) AS found FROM sightings AS g WHERE g.scan_id = s.id GROUP BY g.severity) AS counted
) AS f
WHERE m.id = $1 AND u.email_verified_at IS NOT NULL AND u.disabled_at IS NULL AND o.suspended_at IS NULL";
}

/// What somebody is told. Never printed: it says who hears from us.
#[derive(Clone)]
pub struct ScanNews {
    /// The address, proven.
    pub recipient: String,
    /// The reader's name.
    pub name: String,
    /// The reader's language.
    pub locale: Locale,
    /// The organization's name.
    pub organization: String,
    /// The scan.
    pub scan_id: ScanId,
    /// What was scanned.
    pub target: String,
    /// `completed`, `failed` or `cancelled`.
    pub state: String,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What it found.
    pub counts: SeverityCounts,
}

/// Notes that whoever asked for the scan is to be told of its end, unless the organization was told of too many lately; by the label of [`picket_domain::NewScan::requested_by`].
pub(crate) async fn write(tx: &Tx<'_>, scan: &Scan, asker: &str, now: Timestamp) -> Result<(), StoreError> {
    let (person, key) = (asker.parse::<UserId>().ok(), asker.parse::<ApiKeyId>().ok());
    let expires_at = now.saturating_add(WORTH_SENDING).unwrap_or(Timestamp::MAX);
    let written = tx
        .execute(
            WRITE,
            &[
                &MailId::mint(now).uuid(),
                &scan.organization_id.uuid(),
                &scan.id.uuid(),
                &person.map(UserId::uuid),
                &key.map(ApiKeyId::uuid),
                &now,
                &expires_at,
                &MOST_AN_HOUR,
            ],
        )
        .await?;
    if written > 0 {
        tx.notify(Notice::Mails);
    }
    Ok(())
}

/// What is to be told, as it is now; nothing when the reader has left the organization, is disabled or has proven no
/// address, or when the scan was deleted. Runs as the operator.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn read(tx: &Tx<'_>, id: MailId) -> Result<Option<ScanNews>, StoreError> {
    Ok(tx.query_opt(READ, &[&id.uuid()]).await?.as_ref().map(news).transpose()?)
}

fn news(row: &Row) -> Result<ScanNews, Inconsistent> {
    let columns = Columns::new("mails", row);
    Ok(ScanNews {
        recipient: columns.get("email")?,
        name: columns.get("name")?,
        locale: Locale::find(columns.get("locale")?).unwrap_or_default(),
        organization: columns.get("organization")?,
        scan_id: ScanId::from_uuid(columns.get("scan_id")?),
        target: columns.get("target")?,
        state: columns.get("state")?,
        ended_at: columns.required("ended_at")?,
        counts: counted(columns)?,
    })
}
