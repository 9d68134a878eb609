//! A dispatcher's claim of letters, and what it makes of them: (id, attempt) is the fence.
//! Leases and retries go by the database's clock, so that a dispatcher's cannot send early or stretch a lease. When a
//! letter has expired is said by the clock that wrote that end into it.

use std::time::Duration;

use jiff::Timestamp;
use picket_domain::{Locale, MailId, RetrySchedule};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Inconsistent, StoreError, Tx, row::Columns, statements::statements};

/// Seconds that a claim holds: longer than a letter may take, so that two dispatchers never send the same one at once.
pub const LEASE_SECONDS: f64 = 60.0;

/// Rows that one sweep ends or removes at most, of each kind.
const SWEEP: i64 = 1_000;

statements! {
    CLAIM = "-- mails.lease.claim
WITH due AS (
  SELECT id
  FROM mails
  WHERE state = 'pending' AND next_attempt_at <= now() AND expires_at > $3
  ORDER BY next_attempt_at, id
  LIMIT $1
  FOR UPDATE SKIP LOCKED
)
UPDATE mails AS m
SET state = 'sending', attempt = m.attempt + 1, next_attempt_at = NULL, lease_until = now() + make_interval(secs => $2)
FROM due
WHERE m.id = due.id
RETURNING m.id, m.attempt, m.recipient, m.locale, m.letter";

    // The fence: a claim whose lease was taken back changes nothing.
    FINISH = "-- mails.lease.finish
UPDATE mails
SET state = $3, error = $4, lease_until = NULL,
    next_attempt_at = CASE WHEN $3 = 'pending' THEN now() + make_interval(secs => $5) END,
    ended_at = CASE WHEN $3 <> 'pending' THEN now() END,
    letter = CASE WHEN $3 = 'pending' THEN letter END
WHERE id = $1 AND attempt = $2 AND state = 'sending'";

    RELEASE = "-- mails.lease.release
UPDATE mails AS m
SET state = 'pending', lease_until = NULL, next_attempt_at = now()
FROM unnest($1::uuid[], $2::integer[]) AS held (id, attempt)
WHERE m.id = held.id AND m.attempt = held.attempt AND m.state = 'sending'";

    // Nobody knows whether those letters left: they are sent again, as often as any other.
    TAKE_BACK = "-- mails.lease.take_back
WITH lost AS (
  SELECT id
  FROM mails
  WHERE state = 'sending' AND lease_until < now()
  ORDER BY lease_until
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)
UPDATE mails AS m
SET state = CASE WHEN m.attempt < $1 THEN 'pending' ELSE 'failed' END,
    next_attempt_at = CASE WHEN m.attempt < $1 THEN now() END,
    ended_at = CASE WHEN m.attempt < $1 THEN NULL ELSE now() END,
    letter = CASE WHEN m.attempt < $1 THEN m.letter END,
    lease_until = NULL,
    error = 'interrupted'
FROM lost
WHERE m.id = lost.id
RETURNING m.state = 'failed' AS failed";

    EXPIRE = "-- mails.lease.expire
WITH late AS (
  SELECT id
  FROM mails
  WHERE state = 'pending' AND expires_at <= $1
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)
UPDATE mails AS m
SET state = 'failed', error = 'expired', next_attempt_at = NULL, ended_at = now(), letter = NULL
FROM late
WHERE m.id = late.id";

    REMOVE = "-- mails.lease.remove
WITH old AS (
  SELECT id
  FROM mails
  WHERE ended_at < now() - make_interval(secs => $1)
  ORDER BY ended_at
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)
DELETE FROM mails AS m
USING old
WHERE m.id = old.id";

    WAITING = "-- mails.lease.waiting
SELECT count(*) FROM mails WHERE state = 'pending'";
}

/// Who may end a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailFence {
    /// The mail.
    pub mail_id: MailId,
    /// The attempt, from 1.
    pub attempt: i32,
}

/// A letter to send now. Never printed: it says who hears from us.
#[derive(Clone)]
pub struct ClaimedMail {
    /// The claim.
    pub fence: MailFence,
    /// What it says; nothing for one that is to be put together now, of what [`scan_end`](super::scan_end) finds.
    pub written: Option<WrittenMail>,
}

/// A letter that was written before.
#[derive(Clone)]
pub struct WrittenMail {
    /// The address.
    pub recipient: String,
    /// The language.
    pub locale: Locale,
    /// The letter as JSON, sealed for [`place`](super::place).
    pub letter: Vec<u8>,
}

/// How a claim went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailEnd {
    /// A server took the letter.
    Sent,
    /// It is tried again.
    Retry {
        /// After how long.
        after: Duration,
        /// What went wrong; names no address.
        reason: String,
    },
    /// It is not tried again.
    Failed {
        /// What went wrong; names no address.
        reason: String,
    },
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MailSweep {
    /// Letters of dispatchers that died, to be sent again.
    pub taken_back: u64,
    /// The same, with no attempt left.
    pub lost: u64,
    /// Letters that nobody could send in time.
    pub expired: u64,
    /// Ended rows that were old enough to go.
    pub removed: u64,
    /// Letters that wait now.
    pub waiting: u64,
}

/// Takes `at_most` due letters of all organizations that have not expired at `now`.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.mails.claim", skip_all, err(level = "debug"))]
pub async fn claim(tx: &Tx<'_>, at_most: i64, now: Timestamp) -> Result<Vec<ClaimedMail>, StoreError> {
    let rows = tx.query(CLAIM, &[&at_most, &LEASE_SECONDS, &now]).await?;
    Ok(rows.iter().map(claimed).collect::<Result<_, _>>()?)
}

/// Ends a claim. `false` when it was taken back meanwhile: then nothing is changed.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.mails.finish", skip_all, fields(mail.id = %fence.mail_id), err(level = "debug"))]
pub async fn finish(tx: &Tx<'_>, fence: MailFence, end: &MailEnd) -> Result<bool, StoreError> {
    let (state, reason, wait) = match end {
        MailEnd::Sent => ("sent", None, 0.0),
        MailEnd::Retry { after, reason } => ("pending", Some(reason), after.as_secs_f64()),
        MailEnd::Failed { reason } => ("failed", Some(reason), 0.0),
    };
    let changed = tx.execute(FINISH, &[&fence.mail_id.uuid(), &fence.attempt, &state, &reason, &wait]).await?;
    Ok(changed == 1)
}

/// Gives claims back, to be sent at once by whoever lives.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.mails.release", skip_all, err(level = "debug"))]
pub async fn release(tx: &Tx<'_>, held: &[MailFence]) -> Result<u64, StoreError> {
    let ids: Vec<Uuid> = held.iter().map(|fence| fence.mail_id.uuid()).collect();
    let attempts: Vec<i32> = held.iter().map(|fence| fence.attempt).collect();
    tx.execute(RELEASE, &[&ids, &attempts]).await
}

/// Puts back what dispatchers held when they died, ends what expired, and removes what ended longer than `keep` ago.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.mails.sweep", skip_all, err(level = "debug"))]
pub async fn sweep(tx: &Tx<'_>, now: Timestamp, keep: Duration) -> Result<MailSweep, StoreError> {
    let most = i32::try_from(RetrySchedule::MAILS.attempts()).unwrap_or(i32::MAX);
    let mut swept = MailSweep::default();
    for row in tx.query(TAKE_BACK, &[&most, &SWEEP]).await? {
        let failed: bool = Columns::new("mails", &row).get("failed")?;
        let count = if failed { &mut swept.lost } else { &mut swept.taken_back };
        *count = count.saturating_add(1);
    }
    swept.expired = tx.execute(EXPIRE, &[&now, &SWEEP]).await?;
    swept.removed = tx.execute(REMOVE, &[&keep.as_secs_f64(), &SWEEP]).await?;
    let waiting: i64 = Columns::new("mails", &tx.query_one(WAITING, &[]).await?).get("count")?;
    swept.waiting = u64::try_from(waiting).unwrap_or_default();
    Ok(swept)
}

fn claimed(row: &Row) -> Result<ClaimedMail, Inconsistent> {
    let columns = Columns::new("mails", row);
    let fence = MailFence { mail_id: MailId::from_uuid(columns.get("id")?), attempt: columns.get("attempt")? };
    let Some(recipient) = columns.get("recipient")? else { return Ok(ClaimedMail { fence, written: None }) };
    // A language that we do not have must not hold back the others' letters.
    let locale = Locale::find(columns.get("locale")?).unwrap_or_default();
    Ok(ClaimedMail { fence, written: Some(WrittenMail { recipient, locale, letter: columns.required("letter")? }) })
}
