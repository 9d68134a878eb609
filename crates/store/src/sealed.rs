//! Every column that holds something sealed, in one table, so that a rotation of the platform's key forgets none. What is
//! sealed comes and goes as bytes: this crate could not open it.
//!
//! The place that a secret is sealed for is bound to it, so that it opens nowhere else: table, row and column, and the
//! tenant where the row belongs to one for certain (webhooks, answers). A letter may concern nobody's organization, and
//! people and their flows at providers belong to none: there the row's id, which is unique over all tenants, stands for it.
//!
//! To add a column: its line in `columns!` and its two statements. Whoever seals takes the place from where the line does.

use jiff::Timestamp;
use picket_domain::{AuditAction, MailId, OrganizationId, WebhookId, WebhookSecret};
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Inconsistent, StoreError, Tx, administration, audit, mails, row::Columns, statements::statements};

statements! {
    READ_WEBHOOKS = "-- sealed.read_webhooks
SELECT id::text AS key, ARRAY[organization_id] AS organizations, secret AS sealed
FROM webhooks
WHERE length(secret) > 0 AND substring(secret FROM 1 FOR 9) <> $2 AND ($1::text IS NULL OR id > $1::uuid)
ORDER BY id
LIMIT $3";

    REPLACE_WEBHOOK = "-- sealed.replace_webhook
UPDATE webhooks
SET secret = $3
WHERE id = $1::text::uuid AND secret = $2";

    READ_TOTP_SECRETS = "-- sealed.read_totp_secrets
SELECT u.id::text AS key, u.totp_secret AS sealed,
       ARRAY(SELECT m.organization_id FROM memberships AS m WHERE m.user_id = u.id) AS organizations
FROM users AS u
WHERE substring(u.totp_secret FROM 1 FOR 9) <> $2 AND ($1::text IS NULL OR u.id > $1::uuid)
ORDER BY u.id
LIMIT $3";

    REPLACE_TOTP_SECRET = "-- sealed.replace_totp_secret
UPDATE users
SET totp_secret = $3
WHERE id = $1::text::uuid AND totp_secret = $2";

    READ_TOTP_PENDING = "-- sealed.read_totp_pending
SELECT u.id::text AS key, u.totp_pending AS sealed,
       ARRAY(SELECT m.organization_id FROM memberships AS m WHERE m.user_id = u.id) AS organizations
FROM users AS u
WHERE substring(u.totp_pending FROM 1 FOR 9) <> $2 AND ($1::text IS NULL OR u.id > $1::uuid)
ORDER BY u.id
LIMIT $3";

    REPLACE_TOTP_PENDING = "-- sealed.replace_totp_pending
UPDATE users
SET totp_pending = $3
WHERE id = $1::text::uuid AND totp_pending = $2";

    READ_LETTERS = "-- sealed.read_letters
SELECT id::text AS key, array_remove(ARRAY[organization_id], NULL) AS organizations, letter AS sealed
FROM mails
WHERE substring(letter FROM 1 FOR 9) <> $2 AND ($1::text IS NULL OR id > $1::uuid)
ORDER BY id
LIMIT $3";

    REPLACE_LETTER = "-- sealed.replace_letter
UPDATE mails
SET letter = $3
WHERE id = $1::text::uuid AND letter = $2";

    READ_OAUTH = "-- sealed.read_oauth
SELECT encode(digest, 'hex') AS key, ARRAY[]::uuid[] AS organizations, secrets AS sealed
FROM oauth_states
WHERE substring(secrets FROM 1 FOR 9) <> $2 AND ($1::text IS NULL OR digest > decode($1, 'hex'))
ORDER BY digest
LIMIT $3";

    REPLACE_OAUTH = "-- sealed.replace_oauth
UPDATE oauth_states
SET secrets = $3
WHERE digest = decode($1, 'hex') AND secrets = $2";

    READ_ANSWERS = "-- sealed.read_answers
SELECT jsonb_build_array(organization_id, subject, route, key)::text AS key, ARRAY[organization_id] AS organizations,
       answer AS sealed
FROM idempotency_keys
WHERE substring(answer FROM 1 FOR 9) <> $2
  AND ($1::text IS NULL
       OR (organization_id, subject, route, key)
          > (($1::jsonb ->> 0)::uuid, $1::jsonb ->> 1, $1::jsonb ->> 2, $1::jsonb ->> 3))
ORDER BY organization_id, subject, route, key
LIMIT $3";

    REPLACE_ANSWER = "-- sealed.replace_answer
UPDATE idempotency_keys
SET answer = $3
WHERE organization_id = ($1::text::jsonb ->> 0)::uuid AND subject = $1::text::jsonb ->> 1
  AND route = $1::text::jsonb ->> 2 AND key = $1::text::jsonb ->> 3 AND answer = $2";
}

macro_rules! columns {
    ($($(#[$doc:meta])* $variant:ident = $table:literal, $column:literal, $read:ident, $replace:ident;)*) => {
        /// A column whose values are sealed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum SealedColumn { $($(#[$doc])* $variant,)* }

        impl SealedColumn {
            /// Every column that holds something sealed.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its table.
            #[must_use]
            pub const fn table(self) -> &'static str {
                match self { $(Self::$variant => $table,)* }
            }

            /// Its name.
            #[must_use]
            pub const fn column(self) -> &'static str {
                match self { $(Self::$variant => $column,)* }
            }

            const fn read(self) -> &'static str {
                match self { $(Self::$variant => $read,)* }
            }

            const fn replace(self) -> &'static str {
                match self { $(Self::$variant => $replace,)* }
            }
        }
    };
}

columns! {
    /// The secrets of webhooks.
    WebhookSecret = "webhooks", "secret", READ_WEBHOOKS, REPLACE_WEBHOOK;
    /// The seeds of second factors.
    TotpSecret = "users", "totp_secret", READ_TOTP_SECRETS, REPLACE_TOTP_SECRET;
    /// The seeds of second factors that no code has proven yet.
    TotpPending = "users", "totp_pending", READ_TOTP_PENDING, REPLACE_TOTP_PENDING;
    /// Letters on their way.
    Letter = "mails", "letter", READ_LETTERS, REPLACE_LETTER;
    /// What a code flow at a provider needs when it comes back.
    OauthSecrets = "oauth_states", "secrets", READ_OAUTH, REPLACE_OAUTH;
    /// Answers to replay.
    Answer = "idempotency_keys", "answer", READ_ANSWERS, REPLACE_ANSWER;
}

/// Something sealed, with the place that it is sealed for.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedRow {
    /// The row, in the order that rows are read.
    pub key: String,
    /// The place.
    pub place: String,
    /// The bytes.
    pub sealed: Vec<u8>,
    /// The organizations that it concerns.
    pub organizations: Vec<OrganizationId>,
}

/// At most `limit` rows behind `after` whose sealed form does not begin with `mark`. Runs as the operator.
///
/// # Errors
/// When the database refuses, or a row is inconsistent.
#[tracing::instrument(name = "db.sealed.read", skip_all, fields(table = column.table()), err(level = "debug"))]
pub async fn read(
    tx: &Tx<'_>,
    column: SealedColumn,
    after: Option<&str>,
    mark: &[u8],
    limit: i64,
) -> Result<Vec<SealedRow>, StoreError> {
    let rows = tx.query(column.read(), &[&after, &mark, &limit]).await?;
    Ok(rows.iter().map(|row| sealed_row(column, row)).collect::<Result<_, _>>()?)
}

/// Puts new bytes in place of those that were read, where these are still there; the organizations are told. Returns how
/// many. Runs as the operator.
///
/// # Errors
/// When the database refuses; then nothing is replaced.
#[tracing::instrument(name = "db.sealed.replace", skip_all, fields(table = column.table()), err(level = "debug"))]
pub async fn replace(
    tx: &Tx<'_>,
    column: SealedColumn,
    resealed: &[(SealedRow, Vec<u8>)],
    now: Timestamp,
) -> Result<u64, StoreError> {
    let mut concerned: Vec<_> = resealed.iter().flat_map(|(row, _)| &row.organizations).copied().collect();
    concerned.sort_unstable();
    concerned.dedup();
    administration::lock(tx, &concerned).await?;
    let (mut replaced, mut told) = (0_u64, Vec::new());
    for (row, bytes) in resealed {
        if tx.execute(column.replace(), &[&row.key, &row.sealed, bytes]).await? == 1 {
            replaced = replaced.saturating_add(1);
            told.extend_from_slice(&row.organizations);
        }
    }
    for organization in concerned {
        let count = told.iter().filter(|one| **one == organization).count();
        if count > 0 {
            let after = json!({ "table": column.table(), "column": column.column(), "rows": count });
            let entry = administration::entry(AuditAction::SecretsRewrapped, organization.to_string(), now);
            audit::record(tx, organization, &entry.change(None, Some(after))).await?;
        }
    }
    Ok(replaced)
}

fn sealed_row(column: SealedColumn, row: &Row) -> Result<SealedRow, Inconsistent> {
    let columns = Columns::new(column.table(), row);
    let key: String = columns.get("key")?;
    let organizations: Vec<_> =
        columns.get::<Vec<Uuid>>("organizations")?.into_iter().map(OrganizationId::from_uuid).collect();
    let place = place(column, &key, &organizations).ok_or_else(|| columns.inconsistent("key"))?;
    Ok(SealedRow { place, sealed: columns.get("sealed")?, key, organizations })
}

fn place(column: SealedColumn, key: &str, organizations: &[OrganizationId]) -> Option<String> {
    let id = || key.parse::<Uuid>().ok();
    Some(match column {
        SealedColumn::WebhookSecret => {
            WebhookSecret::context(organizations.first().copied()?, WebhookId::from_uuid(id()?))
        }
        SealedColumn::TotpSecret => format!("users/{}/totp_secret", id()?),
        SealedColumn::TotpPending => format!("users/{}/totp_pending", id()?),
        SealedColumn::Letter => mails::place(MailId::from_uuid(id()?)),
        SealedColumn::OauthSecrets => format!("oauth_states/{key}/secrets"),
        SealedColumn::Answer => {
            let (organization, subject, route, key): (Uuid, String, String, String) = serde_json::from_str(key).ok()?;
            format!("idempotency_keys/{organization}/{subject}/{route}/{key}/answer")
        }
    })
}
