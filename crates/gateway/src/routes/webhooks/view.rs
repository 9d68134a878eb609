//! Webhooks and their deliveries as clients see them; a secret is in one answer alone.

use jiff::Timestamp;
use picket_domain::{DeliveryAttempt, DeliveryId, EventId, Webhook, WebhookEvent, WebhookId, WebhookSecret};
use picket_store::deliveries::read::DeliveryRecord;
use serde::Serialize;
use utoipa::ToSchema;

/// An endpoint that receives events.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WebhookView {
    #[schema(value_type = String, example = "whk_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    id: WebhookId,
    url: String,
    /// `v1` or `v2`.
    dialect: &'static str,
    events: Vec<&'static str>,
    /// `active`, or `disabled` when nothing is sent any more.
    status: &'static str,
    created_at: Timestamp,
    disabled_at: Option<Timestamp>,
    disabled_reason: Option<String>,
}

impl WebhookView {
    pub(super) fn new(webhook: &Webhook) -> Self {
        Self {
            id: webhook.id,
            url: webhook.url.to_string(),
            dialect: webhook.dialect.name(),
            events: webhook.events.iter().copied().map(WebhookEvent::name).collect(),
            status: if webhook.disabled.is_some() { "disabled" } else { "active" },
            created_at: webhook.created_at,
            disabled_at: webhook.disabled.as_ref().map(|disabled| disabled.at),
            disabled_reason: webhook.disabled.as_ref().map(|disabled| disabled.reason.clone()),
        }
    }
}

/// A new webhook with the secret of its signatures.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookCreatedView {
    #[serde(flatten)]
    webhook: WebhookView,
    /// Signs every delivery (Standard Webhooks); shown this once.
    #[schema(example = "whsec_…")]
    secret: String,
}

impl WebhookCreatedView {
    pub(super) fn new(webhook: &Webhook, secret: &WebhookSecret) -> Self {
        Self { webhook: WebhookView::new(webhook), secret: secret.to_wire().to_string() }
    }
}

/// One event on its way to a webhook.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryView {
    #[schema(value_type = String, example = "dlv_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    id: DeliveryId,
    #[schema(value_type = String, example = "whk_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    webhook_id: WebhookId,
    /// `webhook-id` of the request.
    #[schema(value_type = String, example = "evt_01kf0e9x6hf7s8c2v5b3n4m1qz")]
    event_id: EventId,
    /// The event's name in the webhook's dialect.
    #[schema(example = "scan.completed")]
    event: String,
    /// `pending`, `sending`, `delivered`, `exhausted` or `withdrawn`.
    status: &'static str,
    created_at: Timestamp,
    /// When it is tried next, while it waits.
    next_attempt_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    /// What was tried, first to last.
    attempts: Vec<AttemptView>,
}

/// One attempt of a delivery.
#[derive(Debug, Serialize, ToSchema)]
struct AttemptView {
    attempt: i32,
    started_at: Timestamp,
    duration_ms: i64,
    /// The HTTP status of the answer, when there was one.
    status: Option<u16>,
    /// Why there was no answer.
    error: Option<String>,
    /// The same as one word, for programs.
    #[schema(example = "timeout")]
    error_class: Option<String>,
    /// The beginning of the answer.
    response: Option<String>,
}

impl DeliveryView {
    pub(super) fn new(record: &DeliveryRecord) -> Self {
        Self {
            id: record.id,
            webhook_id: record.webhook_id,
            event_id: record.event_id,
            event: record.event.clone(),
            status: record.state.name(),
            created_at: record.created_at,
            next_attempt_at: record.next_attempt_at,
            completed_at: record.ended_at,
            attempts: record.attempts.iter().map(AttemptView::new).collect(),
        }
    }
}

impl AttemptView {
    fn new(attempt: &DeliveryAttempt) -> Self {
        Self {
            attempt: attempt.attempt,
            started_at: attempt.started_at,
            duration_ms: attempt.duration_ms,
            status: attempt.status,
            error: attempt.error.clone(),
            error_class: attempt.error_class.clone(),
            response: attempt.response.clone(),
        }
    }
}
