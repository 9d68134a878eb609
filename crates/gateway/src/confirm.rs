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
    confirm_password(app, context, owner, password.ok_or_else(missing)?).await
}

/// Demands the current password; tries count as those of a login do.
async fn confirm_password(
    app: &App,
    context: &RequestContext,
    owner: &FactorOwner,
    password: SecretString,
) -> Result<(), Problem> {
    let guess = Guess { account: &owner.email, address: context.address, now: app.clock.now() };
    let look = async {
        let fits = app.passwords.verify(password, owner.password_hash.clone()).await?;
        Ok(fits.then_some(()))
    };
    app.throttle.guard(guess, look).await?.ok_or(Problem::WrongCredentials)
}

/// Demands that credentials were shown in the last minutes.
pub(crate) fn confirm_fresh(app: &App, person: Person) -> Result<(), Problem> {
    let age = app.clock.now().duration_since(person.authenticated_at);
    if age <= FRESH { Ok(()) } else { Err(Problem::NotFresh) }
}
