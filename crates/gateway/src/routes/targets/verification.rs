//! Proving a target: a token is made and shown once, its owner puts it where nobody else can, and it is looked for. A token
//! is good for one target of one organization, so that another's proof says nothing.

use actix_web::{
    HttpResponse, delete, get, post,
    web::{Data, Json},
};
use futures_util::future::join_all;
use jiff::Timestamp;
use picket_domain::{
    AuditAction, FILE_PATH, InvalidTransition, META_NAME, Permission, ProofDigest, ProofId, ProofMethod, TOKEN_LASTS,
    Target, TargetId, TargetKind, record_name,
};
use picket_planner::NotProven;
use picket_store::{
    Tx, audit,
    proofs::{self, NewProof, Proof},
    quota,
    tasks::authority,
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::find;
use crate::{App, Body, Caller, Id, Problem, RequestContext, idempotency, proof_text};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(start_verification).service(get_verification).service(check_verification).service(end_verification);
}

/// How a target is to be proven.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StartVerification {
    /// `dns_txt`, `http_file` or `meta_tag`.
    #[schema(value_type = String, example = "dns_txt")]
    method: ProofMethod,
}

/// A token, and where to put it.
#[derive(Serialize, ToSchema)]
struct TokenView {
    /// Identity of the proof to be.
    #[schema(value_type = String)]
    id: ProofId,
    /// `dns_txt`, `http_file` or `meta_tag`.
    #[schema(value_type = String, example = "dns_txt")]
    method: ProofMethod,
    /// The token; it is never shown again.
    token: String,
    /// Where to put it: the name of a TXT record, or the URL of a file or a page.
    #[schema(example = "_picket-challenge.example.com")]
    place: String,
    /// What to put there: the whole text of the record or of the file, or the tag for the page's head.
    #[schema(example = "picket-verification=4qkzq0r1h8v2m5c9x7b3n6d0t4w8y1a5")]
    text: String,
    /// Until when it waits to be found for the first time.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// How the proofs of a target stand.
#[derive(Serialize, ToSchema)]
struct ProofStateView {
    /// `verified`, `pending` or `unverified`.
    #[schema(example = "verified")]
    state: &'static str,
    /// Until when it is proven.
    #[schema(value_type = Option<String>, format = DateTime)]
    verified_until: Option<Timestamp>,
    /// At most one of each method.
    proofs: Vec<ProofView>,
}

/// A token that waits, or a proof.
#[derive(Serialize, ToSchema)]
struct ProofView {
    /// Identity; scans that rely on it name it.
    #[schema(value_type = String)]
    id: ProofId,
    /// `dns_txt`, `http_file` or `meta_tag`.
    #[schema(value_type = String)]
    method: ProofMethod,
    /// `pending`, `verified`, `expired`, or `ended` when it was missing twice in a row.
    state: &'static str,
    /// When its token was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Until when the token waits to be found for the first time.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// When it was found first.
    #[schema(value_type = Option<String>, format = DateTime)]
    verified_at: Option<Timestamp>,
    /// Until when it proves the target.
    #[schema(value_type = Option<String>, format = DateTime)]
    verified_until: Option<Timestamp>,
    /// When it was looked for last.
    #[schema(value_type = Option<String>, format = DateTime)]
    checked_at: Option<Timestamp>,
    /// How often in a row it was missing.
    failures: i32,
    /// What this look came to; only in the answer to a check.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    look: Option<LookView>,
}

/// What a look for a token came to.
#[derive(Serialize, ToSchema)]
struct LookView {
    /// Whether it is there.
    found: bool,
    /// Why not, for programs: `missing`, `another_token`, `unexpected_status`, `dns`, `timeout`, …
    code: Option<&'static str>,
    /// Why not, in words.
    message: Option<String>,
}

/// Begin to prove a target.
///
/// A token of the same method that was not found yet becomes void. A proof of a registered domain's DNS covers every name
/// below it, all others cover that very host. The token waits for 7 days.
#[utoipa::path(
    tag = "targets",
    params(("id" = String, Path, description = "The target.")),
    request_body = StartVerification,
    responses(
        (status = 201, description = "The token, and where to put it.", body = TokenView),
        (status = 409, description = "It is proven by this method already.", body = crate::ProblemView, content_type = "application/problem+json")
    ),
)]
#[post("/targets/{id}/verification")]
async fn start_verification(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<TargetId>,
    Body(StartVerification { method }): Body<StartVerification>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::TargetsWrite)?;
    let (now, organization) = (app.clock.now(), caller.organization_id);
    let token = proof_text::generate();
    let expires_at = now.saturating_add(TOKEN_LASTS).map_err(Problem::internal)?;
    let digest = ProofDigest::of(token.expose_secret());
    let new = NewProof { id: ProofId::mint(now), target_id: id.0, method, digest, created_at: now, expires_at };
    app.db
        .run("start_verification", organization, async |tx| {
            quota::lock(tx, organization).await?;
            let target = find(tx, id.0, now).await?.target;
            if !method.suits(&target) {
                let message =
                    "expected a method that such a target can be proven by; networks are authorized in writing";
                return Err(Problem::field("method", "unsuited", message));
            }
            if !proofs::issue(tx, &new).await? {
                return Err(InvalidTransition { action: "prove", entity: "target", from: "proven so" }.into());
            }
            let entry = context
                .entry(now, &caller.label(), AuditAction::TargetProofStarted, Some(id.0.to_string()))
                .change(None, Some(json!({"proof": new.id, "method": method})));
            audit::record(tx, organization, &entry).await?;
            let view = TokenView::new(&new, &target, token.expose_secret());
            idempotency::keep(&app, tx, HttpResponse::Created().json(view)).await
        })
        .await
}

/// How the proofs of a target stand.
#[utoipa::path(
    tag = "targets",
    params(("id" = String, Path, description = "The target.")),
    responses((status = 200, description = "Its proofs, without their tokens.", body = ProofStateView)),
)]
#[get("/targets/{id}/verification")]
async fn get_verification(app: Data<App>, caller: Caller, id: Id<TargetId>) -> Result<Json<ProofStateView>, Problem> {
    caller.may(Permission::TargetsRead)?;
    let now = app.clock.now();
    let read = async |tx: &Tx<'_>| view(tx, id.0, &[], now).await;
    Ok(Json(app.db.read("get_verification", caller.organization_id, read).await?))
}

/// Look for the tokens of a target now.
///
/// What is found proves the target for 90 days from now. Redirects are not followed.
#[utoipa::path(
    tag = "targets",
    params(("id" = String, Path, description = "The target.")),
    responses(
        (status = 200, description = "What was found, and how the proofs stand now.", body = ProofStateView),
        (status = 409, description = "There is no token to look for.", body = crate::ProblemView, content_type = "application/problem+json")
    ),
)]
#[post("/targets/{id}/verification/check")]
async fn check_verification(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<TargetId>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::TargetsWrite)?;
    let organization = caller.organization_id;
    let read = async |tx: &Tx<'_>| {
        let target = find(tx, id.0, app.clock.now()).await?.target;
        Ok::<_, Problem>((target, proofs::of_target(tx, id.0).await?))
    };
    let (target, mut open) = app.db.read("find_tokens", organization, read).await?;
    open.retain(|proof| proof.is_open(app.clock.now()));
    if open.is_empty() {
        return Err(InvalidTransition { action: "look for", entity: "target", from: "without a token" }.into());
    }
    // Outside of any transaction: it asks strangers.
    let looks = join_all(open.iter().map(|proof| app.prover.look(&target, proof.method, proof.digest))).await;
    let looks: Vec<Look> = open.into_iter().zip(looks).collect();
    let now = app.clock.now();
    let store = async |tx: &Tx<'_>| {
        quota::lock(tx, organization).await?;
        for (proof, _) in looks.iter().filter(|(_, look)| look.is_ok()) {
            if proofs::found(tx, proof.id, proof.digest, now).await? {
                let entry = context
                    .entry(now, &caller.label(), AuditAction::TargetVerified, Some(id.0.to_string()))
                    .change(None, Some(json!({"proof": proof.id, "method": proof.method})));
                audit::record(tx, organization, &entry).await?;
            }
        }
        let view = view(tx, id.0, &looks, now).await?;
        idempotency::keep(&app, tx, HttpResponse::Ok().json(view)).await
    };
    app.db.run("check_verification", organization, store).await
}

/// Withdraw every proof of a target, and every token that waits.
///
/// Tasks that rely on one and have not begun fail as `target_not_authorized`; those that run go on.
#[utoipa::path(
    tag = "targets",
    params(("id" = String, Path, description = "The target.")),
    responses((status = 204, description = "Nothing proves the target any more.")),
)]
#[delete("/targets/{id}/verification")]
async fn end_verification(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<TargetId>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::TargetsAuthorize)?;
    let (now, organization) = (app.clock.now(), caller.organization_id);
    app.db
        .run("end_verification", organization, async |tx| {
            quota::lock(tx, organization).await?;
            find(tx, id.0, now).await?;
            let withdrawn = proofs::withdraw(tx, id.0).await?;
            if withdrawn == 0 {
                return Ok(());
            }
            let tasks = authority::end_fallen(tx, organization, now).await?;
            let entry = context
                .entry(now, &caller.label(), AuditAction::TargetProofEnded, Some(id.0.to_string()))
                .change(None, Some(json!({"reason": "withdrawn", "tasks": tasks})));
            audit::record(tx, organization, &entry).await?;
            Ok::<_, Problem>(())
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A proof, and what a look for it came to.
type Look = (Proof, Result<(), NotProven>);

async fn view(tx: &Tx<'_>, id: TargetId, looks: &[Look], now: Timestamp) -> Result<ProofStateView, Problem> {
    let target = find(tx, id, now).await?;
    let proofs = proofs::of_target(tx, id).await?;
    let proofs = proofs.into_iter().map(|proof| {
        let look = looks.iter().find(|(looked, _)| looked.id == proof.id).map(|(_, look)| LookView::new(*look));
        ProofView::new(&proof, look, now)
    });
    Ok(ProofStateView {
        state: target.verification.name(),
        verified_until: target.verified_until,
        proofs: proofs.collect(),
    })
}

impl TokenView {
    fn new(new: &NewProof, target: &Target, token: &str) -> Self {
        let text = match new.method {
            ProofMethod::DnsTxt | ProofMethod::HttpFile => new.method.text(token),
            ProofMethod::MetaTag => format!(r#"<meta name="{META_NAME}" content="{}">"#, new.method.text(token)),
        };
        let place = match (new.method, target.kind()) {
            (ProofMethod::DnsTxt, TargetKind::Host(host)) => record_name(host),
            (ProofMethod::MetaTag, _) => format!("https://{}/", bracketed(target)),
            (ProofMethod::DnsTxt | ProofMethod::HttpFile, _) => format!("https://{}{FILE_PATH}", bracketed(target)),
        };
        let NewProof { id, method, expires_at, .. } = *new;
        Self { id, method, token: token.to_owned(), place, text, expires_at }
    }
}

/// The target as the host of a URL.
fn bracketed(target: &Target) -> String {
    let text = target.to_string();
    if text.contains(':') { format!("[{text}]") } else { text }
}

impl ProofView {
    fn new(proof: &Proof, look: Option<LookView>, now: Timestamp) -> Self {
        Self {
            id: proof.id,
            method: proof.method,
            state: proof.state(now),
            created_at: proof.created_at,
            expires_at: proof.expires_at,
            verified_at: proof.verified_at,
            verified_until: proof.verified_until,
            checked_at: proof.checked_at,
            failures: proof.failures,
            look,
        }
    }
}

impl LookView {
    fn new(look: Result<(), NotProven>) -> Self {
        let why = look.err();
        Self { found: why.is_none(), code: why.map(NotProven::code), message: why.map(|why| why.to_string()) }
    }
}
