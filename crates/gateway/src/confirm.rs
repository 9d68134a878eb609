//! Whether the person at a session is still the person: asked again before something changes that protects the account.

use jiff::SignedDuration;
use picket_store::mfa::factor::FactorOwner;
use secrecy::SecretString;

use crate::{App, Problem, RequestContext, caller::Person, throttle::Guess};

/// How long a login is fresh.
const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// Demands the first factor again: of a person with a password the password, of anybody else a fresh login.
pub(crate) async fn confirm_first_factor(
    app: &App,
    context: &RequestContext,
    person: Person,
    owner: &FactorOwner,
    password: Option<SecretString>,
) -> Result<(), Problem> {
    if owner.password_hash.is_none() {
        return confirm_fresh(app, person);
    }
    let missing = || Problem::field("password", "missing_field", "expected the current password");
    let password = password.ok_or_else(missing)?;
    let fits = is_password(app, context, &owner.email, owner.password_hash.clone(), password).await?;
    if fits { Ok(()) } else { Err(Problem::WrongCredentials) }
}

/// Whether it is the current password of who has this address; tries count as those of a login do.
pub(crate) async fn is_password(
    app: &App,
    context: &RequestContext,
    email: &str,
    hash: Option<String>,
    password: SecretString,
) -> Result<bool, Problem> {
    let guess = Guess { account: email, address: context.address, now: app.clock.now() };
    let look = async { Ok(app.passwords.verify(password, hash).await?.then_some(())) };
    Ok(app.throttle.guard(guess, look).await?.is_some())
}

/// Demands that credentials were shown in the last minutes.
pub(crate) fn confirm_fresh(app: &App, person: Person) -> Result<(), Problem> {
    let age = app.clock.now().duration_since(person.authenticated_at);
    if age <= FRESH { Ok(()) } else { Err(Problem::NotFresh) }
}
