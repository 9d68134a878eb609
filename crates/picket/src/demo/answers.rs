//! What the demo reads of the API's answers and webhooks, as a client that knows only the published contract. Fields that
//! it does not need are ignored.

use picket_domain::OrganizationId;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

/// `GET /ready`.
#[derive(Debug, Deserialize)]
pub(super) struct Readiness {
    pub(super) status: String,
}

/// `POST /auth/login`.
#[derive(Deserialize)]
pub(super) struct Token {
    pub(super) access_token: SecretString,
}

/// `GET /auth/me`.
#[derive(Debug, Deserialize)]
pub(super) struct Profile {
    pub(super) email: String,
    pub(super) role: String,
    pub(super) organization: Organization,
}

/// An organization in a profile.
#[derive(Debug, Deserialize)]
pub(super) struct Organization {
    pub(super) id: OrganizationId,
    pub(super) name: String,
    pub(super) plan: String,
}

/// `POST /api-keys`.
#[derive(Deserialize)]
pub(super) struct NewKey {
    pub(super) prefix: String,
    pub(super) key: SecretString,
}

/// `POST /webhooks`.
#[derive(Deserialize)]
pub(super) struct NewWebhook {
    pub(super) id: String,
    pub(super) secret: SecretString,
}

/// `POST /scans/create`.
#[derive(Debug, Deserialize)]
pub(super) struct NewScan {
    pub(super) id: String,
    pub(super) status: String,
}

/// Findings per severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Counts {
    pub(super) total: u64,
    pub(super) critical: u64,
    pub(super) high: u64,
    pub(super) medium: u64,
    pub(super) low: u64,
    pub(super) info: u64,
}

/// `GET /scan/{id}/status`.
#[derive(Debug, Deserialize)]
pub(super) struct ScanStatus {
    pub(super) status: String,
    pub(super) progress: u64,
    pub(super) findings: Counts,
    pub(super) message: Option<String>,
}

/// `GET /scan/{id}/result`.
#[derive(Debug, Deserialize)]
pub(super) struct ScanResult {
    pub(super) scan_id: String,
    pub(super) status: String,
    pub(super) duration_ms: Option<u64>,
    pub(super) findings: Counts,
    pub(super) vulnerabilities: Vec<Vulnerability>,
    pub(super) coverage: Vec<CoverageLine>,
}

/// A finding.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Vulnerability {
    pub(super) severity: String,
    pub(super) title: String,
    pub(super) location: String,
}

/// What one tool came to at one target.
#[derive(Debug, Deserialize)]
pub(super) struct CoverageLine {
    pub(super) tool: String,
    pub(super) target: String,
    pub(super) state: String,
    pub(super) reason: Option<String>,
    pub(super) detail: Option<String>,
}

/// `POST /reports/generate`.
#[derive(Debug, Deserialize)]
pub(super) struct NewReport {
    pub(super) report_id: String,
}

/// `GET /reports/{id}`.
#[derive(Debug, Deserialize)]
pub(super) struct ReportStatus {
    pub(super) status: String,
    /// Whatever else it says, for a message when it fails.
    #[serde(flatten)]
    pub(super) rest: Value,
}

/// The body of a webhook.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Payload {
    pub(super) id: String,
    pub(super) event: String,
    pub(super) data: Value,
}

/// An error as RFC 9457 has it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ProblemBody {
    pub(super) code: String,
    pub(super) detail: String,
    pub(super) errors: Vec<FieldProblem>,
}

/// What is wrong with one field.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FieldProblem {
    pub(super) field: String,
    pub(super) message: String,
}
