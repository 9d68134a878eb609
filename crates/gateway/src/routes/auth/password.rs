//! Changing one's password, by who knows it. Who does not asks for a letter (`account/forgotten.rs`).

use actix_web::{
    put,
    web::{Data, Json},
};
use picket_domain::{AuditAction, Letter};
use picket_store::{
    Tx, audit,
    email_tokens::{self, EmailPurpose},
    mfa, people,
    sessions::{self, Which},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    App, Body, Caller, Problem, RequestContext, caller::Person, confirm::is_password, mailbox, mailed_tokens,
    passwords::Passwords,
};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(change_password);
}

/// A change of the password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    /// The password until now.
    #[schema(value_type = String, format = "password")]
    current_password: SecretString,
    /// The password from now on: 12 to 128 characters that are not easy to guess.
    #[schema(value_type = String, format = "password", min_length = 12, max_length = 128)]
    new_password: SecretString,
    /// Whether the API keys that the person made end, too.
    #[serde(default)]
    revoke_api_keys: bool,
}

/// A changed password.
#[derive(Serialize, ToSchema)]
struct PasswordChangedView {
    /// Other sessions that ended.
    sessions_revoked: u64,
    /// API keys that ended.
    api_keys_revoked: u64,
}

/// Change one's password.
///
/// Every other session ends. API keys go on, unless the body says otherwise: programs of the organization use them. Wrong
/// passwords are counted as those of a login. Who signs in through a provider and has no password sets one by
/// `POST /account/forgot-password`.
#[utoipa::path(
    tag = "authentication",
    request_body = PasswordChange,
    responses((status = 200, description = "Changed.", body = PasswordChangedView))
)]
#[put("/auth/change-password")]
async fn change_password(
    app: Data<App>,
    context: RequestContext,
    caller: Caller,
    Body(body): Body<PasswordChange>,
) -> Result<Json<PasswordChangedView>, Problem> {
    let person = caller.person()?;
    if let Some(error) = Passwords::check("new_password", &body.new_password) {
        return Err(Problem::Invalid(vec![error]));
    }
    let known = find(&app, person).await?;
    let current = known.password_hash.clone().ok_or_else(without_password)?;
    if !is_password(&app, &context, &known.email, Some(current), body.current_password).await? {
        return Err(wrong_password());
    }
    let mut words = vec![known.name.as_str(), &known.email];
    words.extend(known.organizations.iter().map(String::as_str));
    let hash = app.passwords.hash_new("new_password", body.new_password, &words).await?;
    let change = Change { person, known: &known, hash: &hash, revoke_api_keys: body.revoke_api_keys };
    let view = app.db.operate("change_password", async |tx| store(&app, tx, &context, &change).await).await?;
    app.callers.forget();
    Ok(Json(view))
}

struct Change<'a> {
    person: Person,
    known: &'a people::Person,
    hash: &'a str,
    revoke_api_keys: bool,
}

async fn find(app: &App, person: Person) -> Result<people::Person, Problem> {
    app.db
        .operate("change_password_of", async |tx| Ok::<_, Problem>(people::find(tx, person.user_id).await?))
        .await?
        .ok_or(Problem::Unauthenticated)
}

async fn store(
    app: &App,
    tx: &Tx<'_>,
    context: &RequestContext,
    change: &Change<'_>,
) -> Result<PasswordChangedView, Problem> {
    let (now, id) = (app.clock.now(), change.person.user_id);
    let organizations = people::lock_organizations(tx, id, None).await?;
    people::set_password(tx, id, change.hash, change.known.password_hash.as_deref(), now).await?;
    email_tokens::void(tx, id, EmailPurpose::Reset).await?;
    // Who asked for another address may have been somebody who knew the password before.
    email_tokens::void(tx, id, EmailPurpose::Change).await?;
    // Logins that wait for their second factor are of the password before.
    mfa::end(tx, id, now).await?;
    let others = Which::AllBut(change.person.session_id);
    let sessions_revoked = sessions::revoke_of_user(tx, id, others, "password_changed", now).await?;
    let api_keys_revoked = if change.revoke_api_keys { people::revoke_keys(tx, id, now).await? } else { 0 };
    let entry = context.entry(now, &id.to_string(), AuditAction::PasswordChanged, Some(id.to_string()));
    let after = json!({"sessions_revoked": sessions_revoked, "api_keys_revoked": api_keys_revoked});
    let entry = entry.change(None, Some(after));
    for organization in organizations {
        audit::record(tx, organization, &entry).await?;
    }
    let letter =
        Letter::PasswordChanged { name: change.known.name.clone(), at: now, address: context.address.to_string() };
    mailbox::post(app, tx, mailed_tokens::recipient(change.known), &letter).await?;
    Ok(PasswordChangedView { sessions_revoked, api_keys_revoked })
}

fn without_password() -> Problem {
    Problem::field(
        "current_password",
        "no_password",
        "expected a person with a password; set the first one by POST /account/forgot-password",
    )
}

fn wrong_password() -> Problem {
    Problem::field("current_password", "wrong_password", "expected the password until now")
}
