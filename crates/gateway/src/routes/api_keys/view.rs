//! What is seen of a key: the key itself in one view alone, that of its making.

use jiff::Timestamp;
use picket_domain::Permission;
use picket_store::api_keys::ApiKey;
use serde::Serialize;
use utoipa::ToSchema;

/// A key that was just made.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedApiKeyView {
    #[serde(flatten)]
    pub key: ApiKeyView,
    /// The key itself. It cannot be shown again.
    #[serde(rename = "key")]
    #[schema(rename = "key", example = "pk_…")]
    pub secret: String,
}

/// A key.
#[derive(Serialize, ToSchema)]
pub(super) struct ApiKeyView {
    /// Identity.
    id: String,
    /// What you call it.
    name: String,
    /// The first characters of the key.
    prefix: String,
    /// What it may do.
    #[schema(value_type = Vec<String>)]
    scopes: Vec<Permission>,
    /// Where it may be used from; empty means anywhere.
    allowed_ranges: Vec<String>,
    /// The person who made it: the key is worth what this person's role is worth.
    created_by: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it ends by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// When it was used last, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    /// The key that replaces it.
    rotated_to: Option<String>,
}

impl ApiKeyView {
    pub(super) fn new(key: ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name,
            prefix: key.prefix,
            scopes: key.scopes,
            allowed_ranges: key.allowed_ranges,
            created_by: key.created_by.to_string(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            rotated_to: key.rotated_to.map(|id| id.to_string()),
        }
    }
}
