//! Tokens that go out by mail: made with the letter that carries them, and used up in the transaction of what they allow.
//! Whoever asks for a letter hears the same after the same time, whether or not somebody has the address.

use std::{future::Future, time::Duration};

use jiff::{SignedDuration, Timestamp};
use picket_domain::{Letter, OrganizationId};
use picket_store::{
    Tx,
    email_tokens::{self, EmailPurpose, NewEmailToken},
    people::{self, Person},
};

use crate::{
    App, Problem,
    mailbox::{self, Recipient},
    token_text::TokenKind,
};

/// The pages that links in letters lead to.
pub(crate) const VERIFY_PATH: &str = "/api/v1/auth/verify-email";
pub(crate) const CHANGE_PATH: &str = "/api/v1/account/confirm-email";
pub(crate) const RESET_PATH: &str = "/api/v1/account/reset-password";
/// No answer about somebody's mail comes sooner: longer than what the letter itself takes, so that the time says nothing.
const FLOOR: Duration = Duration::from_millis(100);

/// Whose token it was.
pub(crate) struct Redeemed {
    /// The person, locked.
    pub person: Person,
    /// The person's organizations, whose counters are locked.
    pub organizations: Vec<OrganizationId>,
}

/// What a token of this purpose looks like, and how long it is good.
fn form(purpose: EmailPurpose) -> (TokenKind, SignedDuration) {
    match purpose {
        EmailPurpose::Verify => (TokenKind::Verify, SignedDuration::from_hours(24)),
        EmailPurpose::Reset => (TokenKind::Reset, SignedDuration::from_hours(1)),
        EmailPurpose::Change => (TokenKind::Change, SignedDuration::from_hours(1)),
    }
}

/// Whether this can be a token of that purpose.
pub(crate) fn is_token(text: &str, purpose: EmailPurpose) -> bool {
    form(purpose).0.parse(text).is_some()
}

/// Whom letters to this person go to.
pub(crate) fn recipient(person: &Person) -> Recipient<'_> {
    Recipient { email: &person.email, locale: person.locale, organization_id: None }
}

/// Makes a token and its letter to the person's address; those of the same purpose that went before are void. Does nothing,
/// and says nothing, when the address had too many such letters. The person is locked; `tx` runs as the operator.
pub(crate) async fn send(app: &App, tx: &Tx<'_>, person: &Person, purpose: EmailPurpose) -> Result<(), Problem> {
    send_to(app, tx, person, &person.email, purpose).await
}

/// The same to another address, which the token is bound to.
pub(crate) async fn send_to(
    app: &App,
    tx: &Tx<'_>,
    person: &Person,
    email: &str,
    purpose: EmailPurpose,
) -> Result<(), Problem> {
    let now = app.clock.now();
    let (kind, lifetime) = form(purpose);
    let token = kind.generate();
    let expires_at = now.saturating_add(lifetime).map_err(Problem::internal)?;
    let name = person.name.clone();
    let letter = match purpose {
        EmailPurpose::Verify => {
            Letter::VerifyAddress { name, link: app.links.with_token(VERIFY_PATH, &token.secret), expires_at }
        }
        EmailPurpose::Reset => {
            Letter::ResetPassword { name, link: app.links.with_token(RESET_PATH, &token.secret), expires_at }
        }
        EmailPurpose::Change => {
            Letter::ConfirmNewAddress { name, link: app.links.with_token(CHANGE_PATH, &token.secret), expires_at }
        }
    };
    if mailbox::is_full(app, tx, email, letter.template()).await? {
        return Ok(());
    }
    let new = NewEmailToken { digest: token.digest, purpose, user_id: person.id, email, expires_at };
    email_tokens::issue(tx, &new, now).await?;
    mailbox::post(app, tx, Recipient { email, ..recipient(person) }, &letter).await
}

/// Whose token it is, without using it up. `tx` runs as the operator.
pub(crate) async fn look(app: &App, tx: &Tx<'_>, token: &str, purpose: EmailPurpose) -> Result<Person, Problem> {
    let digest = form(purpose).0.parse(token).ok_or_else(refused)?;
    let user = email_tokens::find(tx, &digest, purpose, app.clock.now()).await?.ok_or_else(refused)?;
    people::find(tx, user).await?.ok_or_else(refused)
}

/// Uses a token of [`EmailPurpose::Change`] up, as [`redeem`] does; also the address that it went to.
pub(crate) async fn redeem_change(app: &App, tx: &Tx<'_>, token: &str) -> Result<(Redeemed, String), Problem> {
    let now = app.clock.now();
    let (digest, redeemed) = held(tx, token, EmailPurpose::Change, now).await?;
    let email = email_tokens::consume_change(tx, &digest, now).await?.ok_or_else(refused)?;
    Ok((redeemed, email))
}

/// Uses a token up; whatever else happens in `tx`, which runs as the operator, happens once.
pub(crate) async fn redeem(app: &App, tx: &Tx<'_>, token: &str, purpose: EmailPurpose) -> Result<Redeemed, Problem> {
    let now = app.clock.now();
    let (digest, redeemed) = held(tx, token, purpose, now).await?;
    if email_tokens::consume(tx, &digest, purpose, now).await? { Ok(redeemed) } else { Err(refused()) }
}

/// Whose token it is, behind the locks under which it is used up.
async fn held(
    tx: &Tx<'_>,
    token: &str,
    purpose: EmailPurpose,
    now: Timestamp,
) -> Result<([u8; 32], Redeemed), Problem> {
    let digest = form(purpose).0.parse(token).ok_or_else(refused)?;
    let user = email_tokens::find(tx, &digest, purpose, now).await?.ok_or_else(refused)?;
    let organizations = people::lock_organizations(tx, user, None).await?;
    let person = people::find(tx, user).await?.ok_or_else(refused)?;
    Ok((digest, Redeemed { person, organizations }))
}

/// The one answer to every token that is not good, for whatever reason.
fn refused() -> Problem {
    Problem::field(
        "token",
        "invalid_token",
        "expected a token from our last letter that was not used and is not too old",
    )
}

/// Does `work`, and answers no sooner than always.
pub(crate) async fn evenly<T>(work: impl Future<Output = T>) -> T {
    let (done, ()) = tokio::join!(work, tokio::time::sleep(FLOOR));
    done
}
