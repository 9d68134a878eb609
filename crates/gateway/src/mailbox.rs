//! Letters of the gateway: sealed and stored with what causes them. Nothing is sent here.

use jiff::SignedDuration;
use picket_domain::{Letter, Locale, MailId, OrganizationId};
use picket_store::{
    Tx,
    mails::{self, NewMail},
};

use crate::{App, Problem};

/// Letters of one kind that one address gets at most in [`PERIOD`], where strangers can cause them.
const MOST: i64 = 5;
/// See [`is_full`].
pub(crate) const PERIOD: SignedDuration = SignedDuration::from_hours(1);

/// Whom a letter goes to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipient<'a> {
    /// The address.
    pub email: &'a str,
    /// The language.
    pub locale: Locale,
    /// The organization that the letter concerns, if it concerns one.
    pub organization_id: Option<OrganizationId>,
}

/// Puts a letter into the outbox; it leaves when the transaction is committed.
pub(crate) async fn post(app: &App, tx: &Tx<'_>, to: Recipient<'_>, letter: &Letter) -> Result<(), Problem> {
    let now = app.clock.now();
    let id = MailId::mint(now);
    let text = serde_json::to_vec(letter).map_err(Problem::internal)?;
    let sealed = app.sealer.seal(&text, &mails::place(id)).map_err(Problem::internal)?;
    let new = NewMail {
        id,
        organization_id: to.organization_id,
        recipient: to.email,
        locale: to.locale,
        template: letter.template(),
        letter: &sealed,
        expires_at: letter.expires_at(now),
    };
    Ok(mails::enqueue(tx, &new, now).await?)
}

/// Whether the address had as many letters of this template as strangers may cause; then it is left alone for a while, and
/// who caused it is not told. `tx` runs as the operator.
pub(crate) async fn is_full(app: &App, tx: &Tx<'_>, email: &str, template: &str) -> Result<bool, Problem> {
    let since = app.clock.now().saturating_sub(PERIOD).map_err(Problem::internal)?;
    Ok(mails::count_since(tx, email, template, since).await? >= MOST)
}
