//! Takes away what has ended and is of no use to anybody any more. No row goes before its time: a used refresh token stays as
//! long as its session, since whoever shows it again must end that session. All of it runs as the operator.

use jiff::Timestamp;

use crate::{StoreError, Tx, statements::statements};

/// The most rows that one sweep takes away.
pub const MOST: u64 = 1_000;

statements! {
    // Before the sessions: one may have had thousands, and all of them would go in one statement with it.
    REFRESH_TOKENS = "-- expired.refresh_tokens
WITH old AS (
  SELECT t.digest
  FROM sessions AS s
  JOIN refresh_tokens AS t ON t.session_id = s.id
  WHERE least(s.revoked_at, s.expires_at) < $1::timestamptz - interval '30 days'
  LIMIT $2
  FOR UPDATE OF t SKIP LOCKED
)
DELETE FROM refresh_tokens AS t
USING old
WHERE t.digest = old.digest";

    SESSIONS = "-- expired.sessions
WITH old AS (
  SELECT s.id
  FROM sessions AS s
  WHERE least(s.revoked_at, s.expires_at) < $1::timestamptz - interval '30 days'
    AND NOT EXISTS (SELECT FROM refresh_tokens AS t WHERE t.session_id = s.id)
  LIMIT $2
  FOR UPDATE OF s SKIP LOCKED
)
DELETE FROM sessions AS s
USING old
WHERE s.id = old.id";

    EMAIL_TOKENS = "-- expired.email_tokens
WITH old AS (
  SELECT digest
  FROM email_tokens
  WHERE least(used_at, expires_at) < $1::timestamptz - interval '7 days'
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)
DELETE FROM email_tokens AS t
USING old
WHERE t.digest = old.digest";

    INVITATIONS = "-- expired.invitations
WITH old AS (
  SELECT id
  FROM invitations
  WHERE least(accepted_at, withdrawn_at, expires_at) < $1::timestamptz - interval '90 days'
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)
DELETE FROM invitations AS i
USING old
WHERE i.id = old.id";

    MFA_CHALLENGES = "-- expired.mfa_challenges
WITH old AS (
  SELECT digest
  FROM mfa_challenges
  WHERE expires_at < $1::timestamptz - interval '1 day'
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)
DELETE FROM mfa_challenges AS c
USING old
WHERE c.digest = old.digest";

    OAUTH_STATES = "-- expired.oauth_states
WITH old AS (
  SELECT digest
  FROM oauth_states
  WHERE expires_at < $1::timestamptz - interval '1 day'
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)
DELETE FROM oauth_states AS s
USING old
WHERE s.digest = old.digest";

    IDEMPOTENCY_KEYS = "-- expired.idempotency_keys
WITH old AS (
  SELECT organization_id, subject, route, key
  FROM idempotency_keys
  WHERE expires_at < $1
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)
DELETE FROM idempotency_keys AS k
USING old
WHERE k.organization_id = old.organization_id AND k.subject = old.subject AND k.route = old.route AND k.key = old.key";

    DEAD_LETTERS = "-- expired.dead_letters
WITH old AS (
  SELECT id
  FROM dead_letters
  WHERE seen_at < $1::timestamptz - interval '30 days'
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)
DELETE FROM dead_letters AS d
USING old
WHERE d.id = old.id";

    // Nobody else takes these away, so nothing is locked; a gateway reads a change within a second and remembers nothing for
    // longer than a minute.
    RIGHTS_CHANGES = "-- expired.rights_changes
DELETE FROM rights_changes
WHERE (xid, subject) IN (
  SELECT xid, subject
  FROM rights_changes
  WHERE changed_at < $1::timestamptz - interval '1 day'
  LIMIT $2
)";
}

/// What ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiring {
    /// Refresh tokens of sessions that ended 30 days ago.
    RefreshTokens,
    /// Sessions that ended 30 days ago and have no refresh tokens any more.
    Sessions,
    /// What was mailed to prove an address or to reset a password, 7 days after its use or end.
    EmailTokens,
    /// Invitations, 90 days after they were taken up, withdrawn or expired.
    Invitations,
    /// Logins that waited for a second factor until a day ago.
    MfaChallenges,
    /// Logins at providers that were waited for until a day ago.
    OauthStates,
    /// Answers to replay, at their end.
    IdempotencyKeys,
    /// What gateways were told of rights, a day ago.
    RightsChanges,
    /// Messages that nobody could take, 30 days after they were put aside.
    DeadLetters,
}

impl Expiring {
    /// Everything, in an order in which nothing is left that an earlier one makes old.
    pub const ALL: [Self; 9] = [
        Self::RefreshTokens,
        Self::Sessions,
        Self::EmailTokens,
        Self::Invitations,
        Self::MfaChallenges,
        Self::OauthStates,
        Self::IdempotencyKeys,
        Self::RightsChanges,
        Self::DeadLetters,
    ];

    /// The table that it is in.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RefreshTokens => "refresh_tokens",
            Self::Sessions => "sessions",
            Self::EmailTokens => "email_tokens",
            Self::Invitations => "invitations",
            Self::MfaChallenges => "mfa_challenges",
            Self::OauthStates => "oauth_states",
            Self::IdempotencyKeys => "idempotency_keys",
            Self::RightsChanges => "rights_changes",
            Self::DeadLetters => "dead_letters",
        }
    }

    const fn statement(self) -> &'static str {
        match self {
            Self::RefreshTokens => REFRESH_TOKENS,
            Self::Sessions => SESSIONS,
            Self::EmailTokens => EMAIL_TOKENS,
            Self::Invitations => INVITATIONS,
            Self::MfaChallenges => MFA_CHALLENGES,
            Self::OauthStates => OAUTH_STATES,
            Self::IdempotencyKeys => IDEMPOTENCY_KEYS,
            Self::RightsChanges => RIGHTS_CHANGES,
            Self::DeadLetters => DEAD_LETTERS,
        }
    }
}

/// Takes at most [`MOST`] rows away that are old at `now`, none that somebody else is at; returns how many. Runs as the
/// operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.expired.sweep", skip_all, fields(table = what.name()), err(level = "debug"))]
pub async fn sweep(tx: &Tx<'_>, what: Expiring, now: Timestamp) -> Result<u64, StoreError> {
    tx.execute(what.statement(), &[&now, &i64::try_from(MOST).unwrap_or(i64::MAX)]).await
}
