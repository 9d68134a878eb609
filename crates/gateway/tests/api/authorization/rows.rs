//! The table: every route, what it needs, and a body that would be accepted from somebody who may.

use picket_domain::Permission as P;
use serde_json::{Value, json};

/// One route, under one version or both.
pub(crate) struct Row {
    pub(crate) mount: Mount,
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) class: Class,
    pub(crate) body: Option<fn() -> Value>,
}

/// Where a route is mounted.
#[derive(Clone, Copy)]
pub(crate) enum Mount {
    Root,
    V1,
    V2,
    Both,
}

/// What a route needs.
#[derive(Clone, Copy)]
pub(crate) enum Class {
    /// Nothing.
    Public,
    /// Any valid credentials.
    Anybody,
    /// The access token of any person; not an API key.
    Person,
    /// The access token of a person who operates the platform.
    Operator,
    /// This permission.
    Needs(P),
}

impl Row {
    const fn new(mount: Mount, method: &'static str, path: &'static str, class: Class) -> Self {
        Self { mount, method, path, class, body: None }
    }

    const fn with(self, body: fn() -> Value) -> Self {
        Self { body: Some(body), ..self }
    }
}

use Class::{Anybody, Needs, Operator, Person, Public};
use Mount::{Both, Root, V1, V2};

/// Every route, by group.
pub(crate) const ROWS: &[Row] = &[
    Row::new(Root, "GET", "/", Public),
    Row::new(Root, "GET", "/openapi.json", Public),
    Row::new(Root, "GET", "/.well-known/jwks.json", Public),
    Row::new(Root, "GET", "/docs", Public),
    Row::new(Root, "GET", "/docs/style.css", Public),
    Row::new(Both, "GET", "/health", Public),
    Row::new(Both, "GET", "/ready", Public),
    Row::new(Both, "POST", "/auth/register", Public).with(|| json!({"email": "x", "password": ""})),
    Row::new(Both, "POST", "/auth/login", Public).with(|| json!({"email": "x"})),
    Row::new(Both, "POST", "/auth/refresh", Public).with(|| json!({"refresh_token": 1})),
    Row::new(Both, "POST", "/auth/logout", Person),
    Row::new(Both, "GET", "/auth/avatar", Person),
    Row::new(Both, "PUT", "/auth/avatar", Person),
    Row::new(Both, "DELETE", "/auth/avatar", Person),
    Row::new(Both, "GET", "/account/sessions", Person),
    Row::new(Both, "DELETE", "/account/sessions/{id}", Person),
    Row::new(Both, "GET", "/account/identities", Person),
    Row::new(Both, "DELETE", "/account/identities/{provider}", Person).with(|| json!({"password": "x"})),
    Row::new(Both, "PUT", "/account/email", Person).with(|| json!({"email": "new@example.com", "password": "x"})),
    Row::new(Both, "GET", "/account/confirm-email", Public),
    Row::new(Both, "POST", "/account/confirm-email", Public).with(|| json!({"token": "x"})),
    Row::new(Both, "GET", "/auth/github", Public),
    Row::new(Both, "GET", "/auth/google", Public),
    Row::new(Both, "GET", "/oauth/{provider}/callback", Public),
    Row::new(Both, "GET", "/auth/me", Anybody),
    Row::new(Both, "POST", "/auth/mfa/setup", Person).with(|| json!({"password": "x"})),
    Row::new(Both, "POST", "/auth/mfa/verify-setup", Person).with(|| json!({"code": "000000"})),
    Row::new(Both, "POST", "/auth/mfa/verify", Public).with(|| json!({"mfa_token": "x"})),
    Row::new(Both, "GET", "/auth/mfa/status", Person),
    Row::new(Both, "DELETE", "/auth/mfa/disable", Person).with(|| json!({"password": "x", "code": "000000"})),
    Row::new(Both, "POST", "/auth/mfa/regenerate-backup", Person).with(|| json!({"password": "x", "code": "000000"})),
    Row::new(Both, "GET", "/plans", Public),
    Row::new(Both, "PUT", "/auth/profile", Person).with(|| json!({})),
    Row::new(Both, "PUT", "/auth/change-password", Person)
        .with(|| json!({"current_password": "x", "new_password": "x"})),
    Row::new(Both, "POST", "/auth/resend-verification", Public).with(|| json!({"email": "x"})),
    Row::new(Both, "GET", "/auth/verify-email", Public),
    Row::new(Both, "POST", "/auth/verify-email", Public).with(|| json!({"token": "x"})),
    Row::new(Both, "POST", "/account/forgot-password", Public).with(|| json!({"email": "x"})),
    Row::new(Both, "GET", "/account/reset-password", Public),
    Row::new(Both, "POST", "/account/reset-password", Public).with(|| json!({"token": "x", "password": "x"})),
    Row::new(Both, "GET", "/api-keys", Needs(P::ApiKeysRead)),
    Row::new(Both, "POST", "/api-keys", Needs(P::ApiKeysWrite)).with(|| json!({"name": "x", "scopes": ["tools:read"]})),
    Row::new(Both, "POST", "/api-keys/{id}/rotate", Needs(P::ApiKeysWrite)).with(|| json!({})),
    Row::new(Both, "DELETE", "/api-keys/{id}", Needs(P::ApiKeysWrite)),
    Row::new(Both, "GET", "/audit-logs", Needs(P::AuditRead)),
    Row::new(Both, "GET", "/audit-logs/verify", Needs(P::AuditRead)),
    Row::new(Both, "GET", "/org", Needs(P::OrganizationRead)),
    Row::new(Both, "PATCH", "/org", Needs(P::OrganizationWrite)).with(|| json!({})),
    Row::new(Both, "GET", "/settings/team", Needs(P::TeamRead)),
    Row::new(Both, "PUT", "/settings/team/{member_id}/role", Needs(P::TeamWrite)).with(|| json!({"role": "viewer"})),
    Row::new(Both, "DELETE", "/settings/team/{member_id}", Needs(P::TeamWrite)),
    Row::new(Both, "POST", "/settings/team/invite", Needs(P::TeamWrite))
        .with(|| json!({"email": "new@example.com", "role": "viewer"})),
    Row::new(Both, "GET", "/settings/team/invitations", Needs(P::TeamRead)),
    Row::new(Both, "DELETE", "/settings/team/invitations/{id}", Needs(P::TeamWrite)),
    Row::new(Both, "GET", "/settings/team/invitations/{token}/accept", Public),
    Row::new(Both, "POST", "/settings/team/invitations/{token}/accept", Public)
        .with(|| json!({"name": "x", "password": "x"})),
    Row::new(Both, "GET", "/targets", Needs(P::TargetsRead)),
    Row::new(Both, "POST", "/targets/bulk", Needs(P::TargetsWrite))
        .with(|| json!({"targets": [{"target": "example.com"}]})),
    Row::new(Both, "GET", "/targets/{id}", Needs(P::TargetsRead)),
    Row::new(Both, "PATCH", "/targets/{id}", Needs(P::TargetsWrite)).with(|| json!({"tags": ["x"]})),
    Row::new(Both, "DELETE", "/targets/{id}", Needs(P::TargetsWrite)),
    Row::new(Both, "GET", "/targets/{id}/verification", Needs(P::TargetsRead)),
    Row::new(Both, "POST", "/targets/{id}/verification", Needs(P::TargetsWrite)).with(|| json!({"method": "dns_txt"})),
    Row::new(Both, "DELETE", "/targets/{id}/verification", Needs(P::TargetsAuthorize)),
    Row::new(Both, "POST", "/targets/{id}/verification/check", Needs(P::TargetsWrite)),
    Row::new(Both, "PUT", "/targets/{id}/authorization", Needs(P::TargetsAuthorize)).with(|| {
        json!({"not_before": "2026-01-15T00:00:00Z", "not_after": "2026-12-31T00:00:00Z", "approver": "Ada",
               "document_sha256": "0".repeat(64)})
    }),
    Row::new(Both, "GET", "/exclusions", Needs(P::TargetsRead)),
    Row::new(Both, "POST", "/exclusions", Needs(P::TargetsWrite)).with(|| json!({"value": "excluded.example.com"})),
    Row::new(Both, "DELETE", "/exclusions/{id}", Needs(P::TargetsAuthorize)),
    Row::new(Both, "POST", "/targets", Needs(P::TargetsWrite)).with(|| json!({"target": "example.com"})),
    Row::new(Both, "GET", "/tools", Needs(P::ToolsRead)),
    Row::new(Both, "GET", "/tools/all-health", Needs(P::ToolsRead)),
    Row::new(Both, "GET", "/tools/{slug}", Needs(P::ToolsRead)),
    Row::new(Both, "POST", "/tools/{slug}/build-command", Needs(P::ScansWrite))
        .with(|| json!({"target": "example.com"})),
    Row::new(Both, "GET", "/scan-profiles", Needs(P::ScansRead)),
    Row::new(Both, "POST", "/scan-profiles", Needs(P::ScansWrite)).with(|| json!({"name": "x", "scan_type": "quick"})),
    Row::new(Both, "GET", "/scan-profiles/{id}", Needs(P::ScansRead)),
    Row::new(Both, "PUT", "/scan-profiles/{id}", Needs(P::ScansWrite))
        .with(|| json!({"name": "y", "scan_type": "quick"})),
    Row::new(Both, "DELETE", "/scan-profiles/{id}", Needs(P::ScansWrite)),
    Row::new(V1, "POST", "/scans/estimate", Needs(P::ScansWrite))
        .with(|| json!({"target": "example.com", "tool": "nmap"})),
    Row::new(V2, "POST", "/scans/estimate", Needs(P::ScansWrite)).with(|| json!({"target": "example.com"})),
    Row::new(Both, "POST", "/scans/import", Needs(P::ScansWrite)).with(|| json!({})),
    Row::new(V1, "POST", "/scans/create", Needs(P::ScansWrite))
        .with(|| json!({"target": "example.com", "tool": "nmap"})),
    Row::new(V1, "GET", "/scans", Needs(P::ScansRead)),
    Row::new(V1, "GET", "/scan/{id}", Needs(P::ScansRead)),
    Row::new(V1, "GET", "/scan/{id}/status", Needs(P::ScansRead)),
    Row::new(V1, "GET", "/scan/{id}/result", Needs(P::ScansRead)),
    Row::new(V1, "GET", "/scan/{id}/artifacts", Needs(P::ScansRead)),
    Row::new(V1, "GET", "/artifacts/{id}/download", Public),
    Row::new(V1, "GET", "/scan/{id}/chunks", Needs(P::ScansRead)),
    Row::new(V1, "GET", "/scan/{id}/compare", Needs(P::ScansRead)),
    Row::new(V1, "GET", "/scan/{id}/gate", Needs(P::ScansRead)),
    Row::new(V1, "GET", "/scan/{id}/events", Needs(P::ScansRead)),
    Row::new(V1, "GET", "/scan/{id}/output", Needs(P::ScansRead)),
    Row::new(V1, "POST", "/scan/{id}/pause", Needs(P::ScansWrite)),
    Row::new(V1, "POST", "/scan/{id}/resume", Needs(P::ScansWrite)),
    Row::new(V1, "POST", "/scan/{id}/rerun", Needs(P::ScansWrite)).with(|| json!({"only": "all"})),
    Row::new(V1, "POST", "/scan/{id}/stop", Needs(P::ScansWrite)),
    Row::new(V1, "DELETE", "/scan/{id}", Needs(P::ScansWrite)),
    Row::new(V2, "POST", "/scans", Needs(P::ScansWrite)).with(|| json!({"target": "example.com"})),
    Row::new(V2, "GET", "/scans", Needs(P::ScansRead)),
    Row::new(V2, "GET", "/scans/{id}", Needs(P::ScansRead)),
    Row::new(V2, "DELETE", "/scans/{id}", Needs(P::ScansWrite)),
    Row::new(Both, "GET", "/findings", Needs(P::ScansRead)),
    Row::new(Both, "GET", "/schedules", Needs(P::ScansRead)),
    Row::new(Both, "POST", "/schedules", Needs(P::ScansWrite)).with(schedule),
    Row::new(Both, "GET", "/schedules/{id}", Needs(P::ScansRead)),
    Row::new(Both, "PUT", "/schedules/{id}", Needs(P::ScansWrite)).with(schedule),
    Row::new(Both, "DELETE", "/schedules/{id}", Needs(P::ScansWrite)),
    Row::new(Both, "POST", "/schedules/{id}/toggle", Needs(P::ScansWrite)).with(|| json!({"enabled": true})),
    Row::new(Both, "GET", "/blackout-windows", Needs(P::ScansRead)),
    Row::new(Both, "PUT", "/blackout-windows", Needs(P::OrganizationWrite)).with(|| json!({"windows": []})),
    Row::new(V1, "GET", "/admin/overview", Operator),
    Row::new(V1, "GET", "/admin/workers", Operator),
    Row::new(V1, "POST", "/admin/workers/{id}/drain", Operator),
    Row::new(V1, "GET", "/admin/queues", Operator),
    Row::new(V1, "POST", "/admin/queues/{name}/replay", Operator),
    Row::new(V1, "POST", "/admin/kill-switch", Operator).with(|| json!({"scope": "global", "reason": "x"})),
    Row::new(V1, "DELETE", "/admin/kill-switch", Operator).with(|| json!({"scope": "global"})),
    Row::new(V1, "POST", "/reports/generate", Needs(P::ReportsWrite))
        .with(|| json!({"scan_ids": ["scan_00000000000000000000000001"]})),
    Row::new(V1, "GET", "/reports", Needs(P::ReportsRead)),
    Row::new(V1, "GET", "/reports/{id}", Needs(P::ReportsRead)),
    Row::new(V1, "GET", "/reports/{id}/download", Needs(P::ReportsRead)),
    Row::new(V2, "POST", "/reports", Needs(P::ReportsWrite)).with(|| json!({"scan_ids": [1]})),
    Row::new(V2, "GET", "/reports/{id}", Needs(P::ReportsRead)),
    Row::new(V2, "GET", "/reports/{id}/download", Needs(P::ReportsRead)),
    Row::new(Both, "POST", "/webhooks", Needs(P::WebhooksWrite)).with(|| json!({"url": "https://93.184.215.14/hook"})),
    Row::new(Both, "GET", "/webhooks", Needs(P::WebhooksRead)),
    Row::new(Both, "GET", "/webhooks/{id}", Needs(P::WebhooksRead)),
    Row::new(Both, "DELETE", "/webhooks/{id}", Needs(P::WebhooksWrite)),
    Row::new(Both, "GET", "/webhooks/{id}/deliveries", Needs(P::WebhooksRead)),
];

/// A schedule that may be saved, under both versions.
fn schedule() -> Value {
    json!({"name": "x", "kind": "report", "cron": "0 0 * * *", "report": {}})
}

/// Every row with each of its paths.
pub(crate) fn all() -> impl Iterator<Item = (&'static Row, String)> {
    ROWS.iter().flat_map(|row| {
        let prefixes: &[&str] = match row.mount {
            Mount::Root => &[""],
            Mount::V1 => &["/api/v1"],
            Mount::V2 => &["/api/v2"],
            Mount::Both => &["/api/v1", "/api/v2"],
        };
        prefixes.iter().map(move |prefix| (row, format!("{prefix}{}", row.path)))
    })
}
