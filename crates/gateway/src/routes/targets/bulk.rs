//! Many targets in one request, with a result for each. A row that is wrong harms no other row.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, post, web::Data};
use jiff::Timestamp;
use picket_domain::{AuditAction, Criticality, Permission, Subscription, Target, TargetId};
use picket_store::{
    Tx, audit, quota,
    targets::{
        NewTarget,
        bulk::{self, Changed},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::words;
use crate::{App, Body, Caller, FieldError, Problem, RequestContext, idempotency};

/// The most rows of one request.
const MOST_ROWS: usize = 1_000;

/// Targets to keep or to change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BulkRequest {
    /// One for each target, 1,000 at most.
    #[schema(min_items = 1, max_items = 1000)]
    targets: Vec<BulkRow>,
}

/// A target to keep, or to change when it is kept already.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BulkRow {
    /// A host name, an address or a network; of an `http` or `https` URL its host is kept.
    #[schema(example = "example.com")]
    target: String,
    /// Words of yours; those that are there stay when absent.
    #[schema(max_items = 20)]
    tags: Option<Vec<String>>,
    /// `low`, `medium`, `high` or `critical`; what is there stays when absent.
    #[schema(value_type = Option<String>)]
    criticality: Option<Criticality>,
    /// Whom to ask about it; who is there stays when absent.
    #[schema(max_length = 200)]
    owner: Option<String>,
}

/// What became of the rows.
#[derive(Serialize, ToSchema)]
pub(super) struct BulkView {
    created: usize,
    updated: usize,
    refused: usize,
    /// One for each row, in their order.
    results: Vec<RowView>,
}

/// What became of one row.
#[derive(Serialize, ToSchema)]
struct RowView {
    /// The place of the row, from 0.
    index: usize,
    /// `created`, `updated` or `refused`.
    #[schema(example = "created")]
    status: &'static str,
    /// The target, unless it was refused.
    #[schema(value_type = Option<String>)]
    id: Option<TargetId>,
    /// In its canonical form; as it was written when it was refused.
    target: String,
    /// What is wrong with the row.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

/// A row that can be read.
struct Wanted {
    target: Target,
    changed: Changed,
}

/// A row on its way to its result.
enum Row {
    Wanted(Wanted),
    Refused(String, Vec<FieldError>),
}

/// Keep or change up to 1,000 targets.
///
/// Each row has a result of its own. What is kept already is changed; what the plan has no room for is refused with
/// `limit_reached`.
#[utoipa::path(
    tag = "targets",
    request_body = BulkRequest,
    responses((status = 200, description = "What became of each row.", body = BulkView)),
)]
#[post("/targets/bulk")]
pub(super) async fn upsert_targets(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Body(body): Body<BulkRequest>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::TargetsWrite)?;
    if !(1..=MOST_ROWS).contains(&body.targets.len()) {
        return Err(Problem::field("targets", "out_of_range", format!("expected 1 to {MOST_ROWS} targets")));
    }
    let rows = read(body.targets, caller.subscription);
    let (now, organization) = (app.clock.now(), caller.organization_id);
    app.db
        .run("upsert_targets", organization, async |tx| {
            let allowance = quota::lock(tx, organization).await?;
            let (plan, left) = (allowance.plan(), allowance.targets_left(tx).await?);
            let view = store(tx, &rows, (left, plan), now).await?;
            let ids = |status| -> Vec<TargetId> {
                view.results.iter().filter(|row| row.status == status).filter_map(|row| row.id).collect()
            };
            let (created, updated) = (ids("created"), ids("updated"));
            if !(created.is_empty() && updated.is_empty()) {
                let entry = context
                    .entry(now, &caller.label(), AuditAction::TargetsUpserted, None)
                    .change(None, Some(json!({"created": created, "updated": updated})));
                audit::record(tx, organization, &entry).await?;
            }
            idempotency::keep(&app, tx, HttpResponse::Ok().json(view)).await
        })
        .await
}

/// Reads the rows; a target that is named twice is refused the second time.
fn read(rows: Vec<BulkRow>, plan: Subscription) -> Vec<Row> {
    let mut seen = BTreeMap::new();
    let read = |(index, row): (usize, BulkRow)| {
        let BulkRow { target: text, tags, criticality, owner } = row;
        let mut errors = words::faults(tags.as_ref(), owner.as_deref());
        let target = words::target(&text, plan).map_err(|error| errors.insert(0, error)).ok();
        if let Some(first) = target.as_ref().and_then(|target| seen.get(&target.to_string())) {
            let message = format!("expected each target once; row {first} names it too");
            errors.push(FieldError::new("target", "duplicate", message));
        }
        match target {
            Some(target) if errors.is_empty() => {
                seen.insert(target.to_string(), index);
                Row::Wanted(Wanted { target, changed: Changed { tags, criticality, owner } })
            }
            _ => Row::Refused(text, errors),
        }
    };
    rows.into_iter().enumerate().map(read).collect()
}

/// Adds and changes; the organization's counters are locked.
async fn store(
    tx: &Tx<'_>,
    rows: &[Row],
    (mut left, plan): (usize, Subscription),
    now: Timestamp,
) -> Result<BulkView, Problem> {
    let targets: Vec<&Target> = rows.iter().filter_map(Row::target).collect();
    let known = bulk::known(tx, &targets).await?;
    let (mut new, mut changes, mut results) = (Vec::new(), Vec::new(), Vec::new());
    for (index, row) in rows.iter().enumerate() {
        results.push(match row {
            Row::Refused(target, errors) => RowView::refused(index, target.clone(), errors.clone()),
            Row::Wanted(Wanted { target, changed }) => match known.get(&target.to_string()) {
                Some(id) => {
                    changes.push((*id, changed.clone()));
                    RowView::done(index, "updated", *id, target)
                }
                None if left == 0 => RowView::refused(index, target.to_string(), vec![limit_reached(plan)]),
                None => {
                    left = left.saturating_sub(1);
                    let (id, words) = (TargetId::mint(now), changed.clone().or_default());
                    new.push(NewTarget { id, target: target.clone(), words, created_at: now });
                    RowView::done(index, "created", id, target)
                }
            },
        });
    }
    bulk::insert(tx, &new).await?;
    bulk::change(tx, &changes).await?;
    let (created, updated) = (new.len(), changes.len());
    let refused = results.len().saturating_sub(created).saturating_sub(updated);
    Ok(BulkView { created, updated, refused, results })
}

fn limit_reached(plan: Subscription) -> FieldError {
    let message = format!("expected at most {} targets on the plan `{}`", plan.limits().targets, plan.name());
    FieldError::new("target", "limit_reached", message)
}

impl Row {
    const fn target(&self) -> Option<&Target> {
        match self {
            Self::Wanted(wanted) => Some(&wanted.target),
            Self::Refused(..) => None,
        }
    }
}

impl RowView {
    fn done(index: usize, status: &'static str, id: TargetId, target: &Target) -> Self {
        Self { index, status, id: Some(id), target: target.to_string(), errors: Vec::new() }
    }

    fn refused(index: usize, target: String, errors: Vec<FieldError>) -> Self {
        Self { index, status: "refused", id: None, target, errors }
    }
}
