//! A target that may be scanned since a document says so. Only the digest of the document is recorded; the organization
//! keeps it, and answers for it: who recorded it, from where and when, is in the audit log.

use actix_web::{
    put,
    web::{Data, Json},
};
use jiff::{SignedDuration, Timestamp};
use picket_domain::{AuditAction, AuthorizationId, Permission, Reach, Target, TargetId};
use picket_store::{
    audit,
    authorizations::{self, WrittenAuthorization},
    quota,
    tasks::authority,
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::{find, view::AuthorizationView, words::is_plain};
use crate::{App, Body, Caller, FieldError, Id, Problem, RequestContext};

/// The longest window: a year.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);
/// Characters of an approver.
const LONGEST_APPROVER: usize = 200;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(authorize_target);
}

/// What a document says about a target.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AuthorizationRequest {
    /// `target` for that host or network, `subdomains` for every name below the host too.
    #[serde(default)]
    scope: Scope,
    /// From when.
    #[schema(value_type = String, format = DateTime)]
    not_before: Timestamp,
    /// To when, a year later at most.
    #[schema(value_type = String, format = DateTime)]
    not_after: Timestamp,
    /// Who signed the document.
    #[schema(min_length = 1, max_length = 200)]
    approver: String,
    /// SHA-256 of the document, in hex.
    #[schema(min_length = 64, max_length = 64)]
    document_sha256: String,
}

/// How far a document reaches.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Scope {
    /// That host or network.
    #[default]
    Target,
    /// Every name below the host, too.
    Subdomains,
}

/// Record a written authorization, in place of the one that is there.
///
/// Scans of the target are allowed from `not_before` to `not_after`. Tasks that rely on what is not allowed any more and have
/// not begun fail as `target_not_authorized`.
#[utoipa::path(
    tag = "targets",
    params(("id" = String, Path, description = "The target.")),
    request_body = AuthorizationRequest,
    responses((status = 200, description = "It is recorded.", body = AuthorizationView)),
)]
#[put("/targets/{id}/authorization")]
async fn authorize_target(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    id: Id<TargetId>,
    Body(body): Body<AuthorizationRequest>,
) -> Result<Json<AuthorizationView>, Problem> {
    caller.may(Permission::TargetsAuthorize)?;
    let (now, organization) = (app.clock.now(), caller.organization_id);
    caller.fresh(now)?;
    let written = body.check(&caller, now)?;
    let recorded = app
        .db
        .run("authorize_target", organization, async |tx| {
            quota::lock(tx, organization).await?;
            let target = find(tx, id.0, now).await?.target;
            demand_reach(&target, written.reach)?;
            let before = authorizations::of_target(tx, id.0).await?.map(|before| AuthorizationView::new(before, now));
            let id_kept = authorizations::put(tx, id.0, &written).await?;
            let written = WrittenAuthorization { id: id_kept, ..written.clone() };
            let tasks = authority::end_fallen(tx, organization, now).await?;
            let after = json!({"authorization": AuthorizationView::new(written.clone(), now), "ended_tasks": tasks});
            let entry = context
                .entry(now, &caller.label(), AuditAction::TargetAuthorized, Some(id.0.to_string()))
                .change(before.map(|before| json!({"authorization": before})), Some(after));
            audit::record(tx, organization, &entry).await?;
            Ok::<_, Problem>(written)
        })
        .await?;
    Ok(Json(AuthorizationView::new(recorded, now)))
}

fn demand_reach(target: &Target, reach: Reach) -> Result<(), Problem> {
    if reach == Reach::Below && target.host().is_none() {
        return Err(Problem::field("scope", "unsuited", "expected `target`: only a host has names below it"));
    }
    Ok(())
}

impl AuthorizationRequest {
    /// Names every fault.
    fn check(&self, caller: &Caller, now: Timestamp) -> Result<WrittenAuthorization, Problem> {
        let mut errors = Vec::new();
        if self.not_after <= self.not_before || self.not_after <= now {
            let message = "expected a time behind not_before that is not over yet";
            errors.push(FieldError::new("not_after", "out_of_range", message));
        } else if self.not_after.duration_since(self.not_before) > LONGEST {
            errors.push(FieldError::new("not_after", "out_of_range", "expected a year behind not_before at most"));
        }
        if !is_plain(&self.approver, LONGEST_APPROVER) {
            let message = "expected 1 to 200 characters without control characters";
            errors.push(FieldError::new("approver", "invalid_value", message));
        }
        let digest = digest(&self.document_sha256);
        if digest.is_none() {
            errors.push(FieldError::new("document_sha256", "invalid_value", "expected 64 digits of hex"));
        }
        let (Some(document_sha256), true) = (digest, errors.is_empty()) else { return Err(Problem::Invalid(errors)) };
        let reach = match self.scope {
            Scope::Target => Reach::Target,
            Scope::Subdomains => Reach::Below,
        };
        Ok(WrittenAuthorization {
            id: AuthorizationId::mint(now),
            reach,
            not_before: self.not_before,
            not_after: self.not_after,
            approver: self.approver.clone(),
            document_sha256,
            recorded_at: now,
            recorded_by: caller.label(),
        })
    }
}

/// 32 bytes of hex.
fn digest(text: &str) -> Option<[u8; 32]> {
    let nibble = |c: char| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let nibbles = text.chars().map(nibble).collect::<Option<Vec<u8>>>()?;
    let pairs = nibbles.chunks_exact(2);
    let byte = |pair: &[u8]| pair.iter().fold(0_u8, |byte, nibble| (byte << 4) | nibble);
    if nibbles.len() % 2 == 0 { pairs.map(byte).collect::<Vec<u8>>().try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_64_digits_of_hex() {
        assert_eq!(digest(&"0F".repeat(32)), Some([15; 32]));
        for text in ["", "0", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(digest(text), None, "{text}");
        }
    }
}
