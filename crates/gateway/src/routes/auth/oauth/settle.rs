//! Whose account it is. The provider's subject decides, never the address: an address that somebody has is not merged with,
//! whether it was proven here or not, so that who registers a stranger's address gains nothing by it.

use jiff::Timestamp;
use picket_domain::{AuditAction, Letter, Locale, OrganizationId, UserId};
use picket_store::{
    StoreError, Tx,
    accounts::{self, NewAccount},
    audit,
    identities::{self, Account, Known, Linking},
    people, quota, sessions,
};
use serde_json::json;

use super::{
    super::{register::trial_end, views::check_address},
    views::{FinishedView, LinkedView},
};
use crate::{
    App, Problem, RequestContext, mailbox, mailed_tokens,
    oauth::Identity,
    sign_in::{self, Proven, SignedIn},
};

/// One identity that came back, and the request that brought it.
struct Arrival<'a> {
    app: &'a App,
    context: &'a RequestContext,
    account: Account<'a>,
    identity: &'a Identity,
    now: Timestamp,
}

/// Links the identity, or signs in with it.
pub(super) async fn settle(
    app: &App,
    context: &RequestContext,
    provider: &'static str,
    identity: &Identity,
    link: Option<Linking>,
) -> Result<FinishedView, Problem> {
    let account = Account { provider, subject: &identity.subject };
    let arrival = Arrival { app, context, account, identity, now: app.clock.now() };
    if let Some(linking) = link {
        let linked = app.db.operate("link_identity", async |tx| arrival.link(tx, linking).await).await;
        let view = |()| FinishedView::Linked(LinkedView { linked: true, provider });
        return linked.map(view).map_err(|error| taken(error, || Problem::AlreadyExists("identity")));
    }
    let sign_in = async || app.db.operate("sign_in_with_provider", async |tx| arrival.sign_in(tx).await).await;
    let signed_in = match sign_in().await {
        // Somebody was faster: perhaps the same person, whose identity is known by now.
        Err(Problem::Store(StoreError::Conflict { .. })) => sign_in().await,
        other => other,
    };
    signed_in.map(FinishedView::SignedIn).map_err(|error| taken(error, || Problem::AccountExists))
}

/// A conflict as the problem that it is.
fn taken(error: Problem, problem: impl FnOnce() -> Problem) -> Problem {
    if matches!(error, Problem::Store(StoreError::Conflict { .. })) { problem() } else { error }
}

impl Arrival<'_> {
    /// Signs in whoever the identity is of, or makes an account for it.
    async fn sign_in(&self, tx: &Tx<'_>) -> Result<SignedIn, Problem> {
        let proven = match identities::find(tx, self.account).await? {
            Some(known) => self.recognize(tx, known).await?,
            None => self.register(tx).await?,
        };
        sign_in::proceed(self.app, tx, self.context, proven).await
    }

    /// The person of an identity that is known, when it still is behind the lock of the organization: whoever takes it away
    /// holds that lock first, too.
    async fn recognize(&self, tx: &Tx<'_>, known: Known) -> Result<Proven, Problem> {
        let refused = || Problem::SignInRefused("the account may not sign in; ask its organization");
        let organization_id = known.organization_id.ok_or_else(refused)?;
        quota::lock(tx, organization_id).await?;
        if identities::find(tx, self.account).await? != Some(known) {
            return Err(Problem::SignInRefused("the account changed meanwhile"));
        }
        identities::touch(tx, self.account, self.now).await?;
        Ok(Proven { user_id: known.user_id, organization_id, password_hash: None })
    }

    /// A person and an organization for an address that nobody has.
    async fn register(&self, tx: &Tx<'_>) -> Result<Proven, Problem> {
        let email = self.vouched_email()?;
        let name = self.identity.name.as_deref().map(str::trim).filter(|name| !name.is_empty()).unwrap_or(email);
        let plan = self.app.settings.registration_plan;
        let new = NewAccount {
            organization_id: OrganizationId::mint(self.now),
            organization_name: name,
            subscription: plan,
            user_id: UserId::mint(self.now),
            email,
            name,
            password_hash: None,
            trial_ends_at: trial_end(plan, self.now),
            locale: Locale::En,
            email_verified_at: Some(self.now),
        };
        // Refused when somebody has the address.
        accounts::register(tx, &new, self.now).await?;
        let (user, organization) = (new.user_id, new.organization_id);
        self.record(tx, AuditAction::OrganizationCreated, organization, user, organization.to_string()).await?;
        self.give(tx, organization, user).await?;
        Ok(Proven { user_id: user, organization_id: organization, password_hash: None })
    }

    /// Gives the identity to who asked for it, when the session that asked is still one.
    async fn link(&self, tx: &Tx<'_>, linking: Linking) -> Result<(), Problem> {
        let Linking { user_id, session_id, organization_id } = linking;
        quota::lock(tx, organization_id).await?;
        sessions::find_bearer(tx, session_id, organization_id, user_id, self.now)
            .await?
            .ok_or(Problem::Unauthenticated)?;
        self.vouched_email()?;
        match identities::find(tx, self.account).await? {
            Some(known) if known.user_id == user_id => Ok(identities::touch(tx, self.account, self.now).await?),
            Some(_) => Err(Problem::AlreadyExists("identity")),
            None => {
                self.give(tx, organization_id, user_id).await?;
                self.tell(tx, user_id).await
            }
        }
    }

    async fn give(&self, tx: &Tx<'_>, organization: OrganizationId, user: UserId) -> Result<(), Problem> {
        identities::link(tx, self.account, user, self.identity.email.as_deref(), self.now).await?;
        self.record(tx, AuditAction::IdentityLinked, organization, user, user.to_string()).await
    }

    /// Tells the person that there is another way in.
    async fn tell(&self, tx: &Tx<'_>, user: UserId) -> Result<(), Problem> {
        let person = people::find(tx, user).await?.ok_or(Problem::Unauthenticated)?;
        let (name, provider) = (person.name.clone(), self.account.provider.to_owned());
        let letter = Letter::IdentityChanged { name, provider, linked: true, at: self.now };
        mailbox::post(self.app, tx, mailed_tokens::recipient(&person), &letter).await
    }

    async fn record(
        &self,
        tx: &Tx<'_>,
        action: AuditAction,
        organization: OrganizationId,
        user: UserId,
        object: String,
    ) -> Result<(), Problem> {
        let entry = self.context.entry(self.now, &user.to_string(), action, Some(object));
        let after = json!({"provider": self.account.provider, "subject": self.account.subject});
        audit::record(tx, organization, &entry.change(None, Some(after))).await?;
        Ok(())
    }

    /// The address, when the provider vouches for it and it is one.
    fn vouched_email(&self) -> Result<&str, Problem> {
        let email = self.identity.email.as_deref().ok_or(Problem::UnverifiedByProvider)?;
        if check_address("email", email).is_some() { Err(Problem::UnverifiedByProvider) } else { Ok(email) }
    }
}
