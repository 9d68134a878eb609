//! News of the proofs of a target, for the owners and admins of its organization: noted in the transaction that changes the
//! proof, and put together when they are sent. Only then is it looked at who may still read them. They never name another
//! organization.

use jiff::{SignedDuration, Timestamp};
use picket_domain::{Locale, MailId, OrganizationId, ProofNews, TargetId};
use tokio_postgres::Row;

use crate::{Inconsistent, Notice, StoreError, Tx, row::Columns, statements::statements};

/// How long the news are worth sending.
const WORTH_SENDING: SignedDuration = SignedDuration::from_hours(7 * 24);
/// News of one kind to one reader in an hour.
const MOST_IN_AN_HOUR: i64 = 10;
/// New proofs of one turn.
const TURN: i64 = 64;

statements! {
    WRITE = "-- mails.target_news.write
INSERT INTO mails (id, organization_id, target_id, reader, locale, template, created_at, expires_at, next_attempt_at)
SELECT gen_random_uuid(), m.organization_id, $2, m.user_id, 'en', $3, $4, $5, now()
FROM memberships AS m
WHERE m.organization_id = $1 AND m.role IN ('owner', 'admin')
  AND $6 > (
    SELECT count(*)
    FROM mails AS w
    WHERE w.reader = m.user_id AND w.target_id IS NOT NULL AND w.template = $3
      AND w.created_at > $4::timestamptz - make_interval(hours => 1)
  )";

    // Each new proof is looked at once, in the statement that marks it. Of two that are new at the same moment both are told.
    SHARED = "-- mails.target_news.shared
WITH fresh AS MATERIALIZED (
  SELECT p.id, p.organization_id, p.target_id, t.value
  FROM target_proofs AS p
  JOIN targets AS t ON t.id = p.target_id
  WHERE p.verified_at IS NOT NULL AND p.compared_at IS NULL
  ORDER BY p.id
  LIMIT $2
  FOR UPDATE OF p SKIP LOCKED
), marked AS (
  UPDATE target_proofs AS p
  SET compared_at = $1
  FROM fresh
  WHERE p.id = fresh.id
), other AS MATERIALIZED (
  SELECT f.organization_id, f.target_id, o.organization_id AS other_organization, o.target_id AS other_target
  FROM fresh AS f
  JOIN targets AS t ON t.value = f.value AND t.organization_id <> f.organization_id
  JOIN target_proofs AS o ON o.target_id = t.id
  WHERE o.ended_at IS NULL AND o.verified_until > $1
)
SELECT organization_id, target_id FROM other
UNION
SELECT other_organization, other_target FROM other
ORDER BY 1, 2";

    READ = "-- mails.target_news.read
SELECT m.template, m.created_at, u.email, u.name, u.locale, o.name AS organization, t.value
FROM mails AS m
JOIN targets AS t ON t.id = m.target_id
JOIN organizations AS o ON o.id = m.organization_id
JOIN memberships AS k ON k.organization_id = m.organization_id AND k.user_id = m.reader AND k.role IN ('owner', 'admin')
JOIN users AS u ON u.id = m.reader
WHERE m.id = $1 AND u.email_verified_at IS NOT NULL AND u.disabled_at IS NULL AND o.suspended_at IS NULL";
}

/// What somebody is told. Never printed: it says who hears from us.
#[derive(Clone)]
pub struct TargetNews {
    /// The address, proven.
    pub recipient: String,
    /// The reader's name.
    pub name: String,
    /// The reader's language.
    pub locale: Locale,
    /// The organization's name.
    pub organization: String,
    /// The target.
    pub target: String,
    /// What happened.
    pub news: ProofNews,
    /// When.
    pub at: Timestamp,
}

/// Notes that the owners and admins of an organization are to be told of a proof; ten times in an hour at most. Runs as the
/// operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.mails.target_news", skip_all, fields(target.id = %target), err(level = "debug"))]
pub async fn write(
    tx: &Tx<'_>,
    (organization, target): (OrganizationId, TargetId),
    news: ProofNews,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let expires_at = now.saturating_add(WORTH_SENDING).unwrap_or(Timestamp::MAX);
    let (organization, target, template) = (organization.uuid(), target.uuid(), news.template());
    let written = tx.execute(WRITE, &[&organization, &target, &template, &now, &expires_at, &MOST_IN_AN_HOUR]).await?;
    if written > 0 {
        tx.notify(Notice::Mails);
    }
    Ok(written)
}

/// Looks once at each new proof, and tells all who have proven the same target. Returns how many are told. Runs as the
/// operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.mails.shared_targets", skip_all, err(level = "debug"))]
pub async fn tell_shared(tx: &Tx<'_>, now: Timestamp) -> Result<u64, StoreError> {
    let mut told = 0_u64;
    for row in tx.query(SHARED, &[&now, &TURN]).await? {
        let columns = Columns::new("target_proofs", &row);
        let organization = OrganizationId::from_uuid(columns.get("organization_id")?);
        let target = TargetId::from_uuid(columns.get("target_id")?);
        told = told.saturating_add(write(tx, (organization, target), ProofNews::Shared, now).await?);
    }
    Ok(told)
}

/// What is to be told, as it is now; nothing when it is no news of a target, the reader is no owner or admin any more, is
/// disabled or has proven no address, or when the target was removed. Runs as the operator.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
pub async fn read(tx: &Tx<'_>, id: MailId) -> Result<Option<TargetNews>, StoreError> {
    Ok(tx.query_opt(READ, &[&id.uuid()]).await?.as_ref().map(news).transpose()?)
}

fn news(row: &Row) -> Result<TargetNews, Inconsistent> {
    let columns = Columns::new("mails", row);
    Ok(TargetNews {
        recipient: columns.get("email")?,
        name: columns.get("name")?,
        locale: Locale::find(columns.get("locale")?).unwrap_or_default(),
        organization: columns.get("organization")?,
        target: columns.get("value")?,
        news: columns.named("template", ProofNews::find)?,
        at: columns.get("created_at")?,
    })
}
