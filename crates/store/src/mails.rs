//! The outbox of letters: stored with what causes them, sent by the dispatcher. A letter is sealed by who writes it.
//! Nothing in here opens one. News of a scan's end and of a
//! proof are no letter yet: they hold no secret, and who writes them has no key.

pub mod lease;
pub mod scan_end;
pub mod target_news;

use jiff::Timestamp;
use picket_domain::{Locale, MailId, OrganizationId};

use crate::{Notice, StoreError, Tx, row::Columns, statements::statements};

statements! {
    // Due at once by the clock that claims, whatever the caller's says.
    ENQUEUE = "-- mails.enqueue
INSERT INTO mails (id, organization_id, recipient, locale, template, letter, created_at, expires_at, next_attempt_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now())";

    COUNT_SINCE = "-- mails.count_since
SELECT count(*) AS written
FROM mails
WHERE lower(recipient) = lower($1) AND template = $2 AND created_at > $3";
}

/// A letter to send.
#[derive(Clone)]
pub struct NewMail<'a> {
    /// Identity.
    pub id: MailId,
    /// The organization that it concerns; none when it concerns a person. As a tenant only one's own.
    pub organization_id: Option<OrganizationId>,
    /// The address.
    pub recipient: &'a str,
    /// The language.
    pub locale: Locale,
    /// The template's name, for people who look at the table.
    pub template: &'a str,
    /// The letter as JSON, sealed for [`place`].
    pub letter: &'a [u8],
    /// When it stops to be worth sending.
    pub expires_at: Timestamp,
}

/// The place that a letter is sealed for.
#[must_use]
pub fn place(id: MailId) -> String {
    format!("mails/{}/letter", id.uuid())
}

/// Stores a letter to be sent once the transaction is committed.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.mails.enqueue", skip_all, fields(mail.id = %new.id), err(level = "debug"))]
pub async fn enqueue(tx: &Tx<'_>, new: &NewMail<'_>, now: Timestamp) -> Result<(), StoreError> {
    tx.execute_one(
        ENQUEUE,
        &[
            &new.id.uuid(),
            &new.organization_id.map(OrganizationId::uuid),
            &new.recipient,
            &new.locale.name(),
            &new.template,
            &new.letter,
            &now,
            &new.expires_at,
        ],
    )
    .await?;
    tx.notify(Notice::Mails);
    Ok(())
}

/// How many letters of one template were written to an address, in any case, since then. Runs as the operator.
///
/// # Errors
/// When the database refuses.
#[tracing::instrument(name = "db.mails.count_since", skip_all, err(level = "debug"))]
pub async fn count_since(tx: &Tx<'_>, recipient: &str, template: &str, since: Timestamp) -> Result<i64, StoreError> {
    let row = tx.query_one(COUNT_SINCE, &[&recipient, &template, &since]).await?;
    Ok(Columns::new("mails", &row).get("written")?)
}
