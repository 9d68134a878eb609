//! Taking an invitation up: somebody who is signed in joins, somebody who has no account makes one. The token is good once,
//! and for the address alone that it was sent to. Whoever left the last organization can sign in to none, and joins by the
//! token alone, which proves the address; that opens no session. When the address was never proven before, the password may
//! be that of a stranger, who would get in by it: then a new one is set first.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    post,
    web::{Data, Payload},
};
use jiff::Timestamp;
use picket_domain::{AuditAction, Locale, UserId};
use picket_store::{
    StoreError, Tx, audit,
    invitations::{self, Offer},
    members::{self, InvitedPerson},
    quota,
};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    offer::{self, InvitationToken},
    page::{self, Filled},
    view::JoinedView,
};
use crate::{
    App, Caller, FieldError, Problem, RequestContext, body, html, identify,
    passwords::Passwords,
    routes::auth::views::check_name,
    sign_in::{self, Proven, SignedIn},
};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(accept_invitation);
}

/// Who joins without an account; nothing for somebody who is signed in.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Acceptance {
    /// How you are called.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// At least 12 characters, at most 128.
    #[schema(value_type = Option<String>, format = "password", min_length = 12, max_length = 128)]
    password: Option<SecretString>,
    /// The language of letters: `en`, `zh` or `id`; `en` when absent.
    #[schema(value_type = Option<String>)]
    locale: Option<Locale>,
}

/// A new person without faults.
struct NewPerson {
    name: String,
    password: SecretString,
    locale: Locale,
}

/// Accept an invitation.
///
/// Signed in, and with the invited address proven, you join; send no body. Without an account, send a name and a password:
/// your account is made, its address counts as proven since the letter came there, and you are signed in. The form of the
/// page does the same, and you sign in afterwards. When the address has an account already, sign in first (401); somebody
/// whose account is in no organization any more sends nothing, joins, and signs in then.
#[utoipa::path(
    tag = "team",
    security(()),
    params(("token" = String, Path, description = "The token of the letter.")),
    request_body(content = Acceptance, description = "For somebody without an account."),
    responses(
        (status = 200, description = "You have joined.", body = JoinedView),
        (status = 201, description = "Your account is made, and you are signed in.", body = SignedIn),
        (status = 400, description = "The name or the password is wrong.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 401, description = "The address has an account: sign in to accept.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 403, description = "The invitation is not for the address that you have proven (`not_your_invitation`), or the account of the address was never proven (`email_unverified`): set a new password first.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 409, description = "You are a member already.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[post("/settings/team/invitations/{token}/accept")]
async fn accept_invitation(
    app: Data<App>,
    context: RequestContext,
    InvitationToken(digest): InvitationToken,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let caller = identify::optional(&app, &context, request.headers()).await?;
    let body = body::optional::<Acceptance>(&request, payload.into_inner()).await?.unwrap_or_default();
    let acceptor = Acceptor { app: &app, context: &context, digest, now: app.clock.now() };
    if html::is_wanted(&request) {
        return acceptor.accept_in_browser(caller, body, request.path()).await;
    }
    Ok(match acceptor.accept(caller, body, true).await? {
        Accepted::Joined(view) => HttpResponse::Ok().json(view),
        Accepted::Registered(signed_in) => HttpResponse::Created().json(signed_in),
    })
}

/// What came of it.
enum Accepted {
    /// A person with an account is a member.
    Joined(JoinedView),
    /// An account was made, and signed in if that was wanted.
    Registered(Option<SignedIn>),
}

/// One request to take an invitation up.
struct Acceptor<'a> {
    app: &'a App,
    context: &'a RequestContext,
    digest: [u8; 32],
    now: Timestamp,
}

impl Acceptor<'_> {
    /// Whoever asks joins, or makes an account; `signs_in` is whether that opens a session.
    async fn accept(&self, caller: Option<Caller>, body: Acceptance, signs_in: bool) -> Result<Accepted, Problem> {
        if let Some(caller) = caller {
            if !body.is_empty() {
                return Err(Problem::Malformed("expected no body from somebody who is signed in"));
            }
            return Ok(Accepted::Joined(self.join(&caller).await?));
        }
        match self.homeless().await? {
            Some(user) if body.is_empty() => Ok(Accepted::Joined(self.come_back(user).await?)),
            Some(_) => {
                Err(Problem::Malformed("expected no body, since the address has an account; sign in afterwards"))
            }
            None => Ok(Accepted::Registered(self.register(body, signs_in).await?)),
        }
    }

    /// The same with pages. A session would be of no use to somebody who cannot see its tokens, so none is opened.
    async fn accept_in_browser(
        &self,
        caller: Option<Caller>,
        body: Acceptance,
        path: &str,
    ) -> Result<HttpResponse, Problem> {
        let name = body.name.clone().unwrap_or_default();
        let find = async |tx: &Tx<'_>| offer::find(tx, &self.digest, self.now).await;
        let view = self.app.db.operate("get_offer", find).await?;
        match self.accept(caller, body, false).await {
            Ok(Accepted::Joined(_)) => Ok(page::joined(StatusCode::OK, &view.organization)),
            Ok(Accepted::Registered(_)) => Ok(page::joined(StatusCode::CREATED, &view.organization)),
            Err(Problem::Invalid(errors)) => {
                Ok(page::offer(StatusCode::BAD_REQUEST, &view, path, &Filled { name: &name, errors: &errors }))
            }
            Err(problem) => Err(problem),
        }
    }

    /// The person of these credentials joins.
    async fn join(&self, caller: &Caller) -> Result<JoinedView, Problem> {
        let user = caller.person()?.user_id;
        let work = async |tx: &Tx<'_>| {
            let offer = self.take(tx, user).await?;
            let person = members::find_person(tx, user).await?.ok_or(Problem::Unauthenticated)?;
            if !person.is_verified || person.email.to_lowercase() != offer.email.to_lowercase() {
                return Err(Problem::NotYourInvitation);
            }
            self.add(tx, offer, user).await
        };
        let joined = self.app.db.operate("join_organization", work).await?;
        self.app.callers.forget();
        Ok(joined)
    }

    /// The person of the invited address, when no organization is left to sign in to; none for an address without an account.
    async fn homeless(&self) -> Result<Option<UserId>, Problem> {
        let find = async |tx: &Tx<'_>| {
            let offer = invitations::find_offer(tx, &self.digest, self.now).await?;
            let offer = offer.ok_or(Problem::NotFound("invitation"))?;
            let Some(person) = members::find_by_address(tx, &offer.email).await? else { return Ok(None) };
            let belongs = members::belongs_somewhere(tx, person.user_id).await?;
            match (belongs, person.is_verified) {
                (true, _) => Err(Problem::Unauthenticated),
                (false, false) => Err(Problem::ResetFirst),
                (false, true) => Ok(Some(person.user_id)),
            }
        };
        self.app.db.operate("check_invitation", find).await
    }

    /// A person without an organization joins this one, and signs in afterwards as ever.
    async fn come_back(&self, user: UserId) -> Result<JoinedView, Problem> {
        let work = async |tx: &Tx<'_>| {
            let offer = self.take(tx, user).await?;
            self.add(tx, offer, user).await
        };
        self.app.db.operate("come_back", work).await
    }

    async fn add(&self, tx: &Tx<'_>, offer: Offer, user: UserId) -> Result<JoinedView, Problem> {
        if members::add(tx, offer.organization_id, user, offer.role, self.now).await? {
            Ok(JoinedView::new(offer))
        } else {
            Err(Problem::AlreadyExists("membership"))
        }
    }

    /// Somebody without an account makes one, and is signed in if that is wanted.
    async fn register(&self, body: Acceptance, signs_in: bool) -> Result<Option<SignedIn>, Problem> {
        let person = body.check()?;
        let find = async |tx: &Tx<'_>| offer::find(tx, &self.digest, self.now).await;
        let offer = self.app.db.operate("get_offer", find).await?;
        let known = [person.name.as_str(), &offer.email, &offer.organization];
        let password_hash = self.app.passwords.hash_new("password", person.password, &known).await?;
        let user_id = UserId::mint(self.now);
        let store = async |tx: &Tx<'_>| {
            let offer = self.take(tx, user_id).await?;
            let (email, name, locale) = (offer.email.as_str(), person.name.as_str(), person.locale);
            let new = InvitedPerson { user_id, email, name, password_hash: &password_hash, locale };
            members::register(tx, offer.organization_id, offer.role, &new, self.now).await?;
            if !signs_in {
                return Ok(None);
            }
            let proven = Proven { user_id, organization_id: offer.organization_id, password_hash: None };
            sign_in::proceed(self.app, tx, self.context, proven).await.map(Some)
        };
        self.app.db.operate("register_invited", store).await.map_err(|problem| {
            // Somebody registered with the address meanwhile.
            let is_taken = matches!(problem, Problem::Store(StoreError::Conflict { .. }));
            if is_taken { Problem::Unauthenticated } else { problem }
        })
    }

    /// Uses the token up, behind the organization's lock, and says so in the audit log.
    async fn take(&self, tx: &Tx<'_>, user: UserId) -> Result<Offer, Problem> {
        let offer = invitations::find_offer(tx, &self.digest, self.now).await?;
        quota::lock(tx, offer.ok_or(Problem::NotFound("invitation"))?.organization_id).await?;
        // What was true before the lock may be so no longer.
        let offer =
            invitations::find_offer(tx, &self.digest, self.now).await?.ok_or(Problem::NotFound("invitation"))?;
        if !invitations::accept(tx, offer.id, self.now).await? {
            return Err(Problem::NotFound("invitation"));
        }
        let object = Some(offer.id.to_string());
        let entry = self
            .context
            .entry(self.now, &user.to_string(), AuditAction::InvitationAccepted, object)
            .change(None, Some(json!({"member": user, "role": offer.role})));
        audit::record(tx, offer.organization_id, &entry).await?;
        Ok(offer)
    }
}

impl Acceptance {
    const fn is_empty(&self) -> bool {
        self.name.is_none() && self.password.is_none() && self.locale.is_none()
    }

    /// Names every fault.
    fn check(self) -> Result<NewPerson, Problem> {
        let missing = |field: &str| FieldError::new(field, "missing_field", format!("missing field `{field}`"));
        let name = self.name.map(|name| name.trim().to_owned());
        let mut errors = Vec::new();
        errors.extend(name.as_deref().map_or_else(|| Some(missing("name")), |name| check_name("name", name)));
        let wrong = |password| Passwords::check("password", password);
        errors.extend(self.password.as_ref().map_or_else(|| Some(missing("password")), wrong));
        match (name, self.password) {
            (Some(name), Some(password)) if errors.is_empty() => {
                Ok(NewPerson { name, password, locale: self.locale.unwrap_or_default() })
            }
            _ => Err(Problem::Invalid(errors)),
        }
    }
}
