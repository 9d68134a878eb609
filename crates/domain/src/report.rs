//! A report: what was asked for, how far it is and the only ways it may change.
//!
//! ```text
//! queued ──claim──▶ running ──complete──▶ done
//!                   │ ▲  └────fail──────▶ failed      queued ──fail──▶ failed
//!                   └─┘ claim again, once the lease ended
//! ```

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{EventBody, InvalidTransition, OrganizationId, ReportChanged, ReportId, ScanId, Transition};

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportFormat {
    /// A document to print and to hand on.
    Pdf,
    /// One page that needs no other file.
    Html,
    /// For programs.
    Json,
}

impl ReportFormat {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Pdf, Self::Html, Self::Json];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Html => "html",
            Self::Json => "json",
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// How its files end, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        self.name()
    }

    /// Its media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
        }
    }
}

/// What a client wants a report to be. Checked by `parse`; inside, nobody checks again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRequest {
    /// The scans it covers, in the client's order, each once.
    pub scan_ids: Vec<ScanId>,
    /// Its form.
    pub format: ReportFormat,
    /// Whether it begins with the numbers and what they mean.
    pub include_executive_summary: bool,
    /// Whether it describes every finding with its evidence.
    pub include_technical_details: bool,
    /// Whose name and logo it carries.
    pub branding: Branding,
}

/// Whose report it is, for its reader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Branding {
    /// The name on the cover; the organization's own when absent.
    pub company_name: Option<CompanyName>,
    /// Where the logo is fetched from, when the report is asked for.
    pub logo_url: Option<Url>,
}

/// A name fit for a cover: one line, 1 to 100 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanyName(String);

impl CompanyName {
    /// The longest name, in characters.
    pub const MAX_CHARS: usize = 100;

    /// Checks a client's text; blanks around it are dropped.
    ///
    /// # Errors
    /// `CompanyName` when it is empty, too long, or has a control character.
    pub fn parse(text: &str) -> Result<Self, ReportRequestError> {
        let text = text.trim();
        let fits = (1..=Self::MAX_CHARS).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(ReportRequestError::CompanyName) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A report that cannot be made as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReportRequestError {
    /// No scan, too many, or one of them twice.
    #[error("expected 1 to {} scans, each once", ReportRequest::MAX_SCANS)]
    ScanIds,
    /// The name does not fit on a cover.
    #[error("expected one line of 1 to {} characters", CompanyName::MAX_CHARS)]
    CompanyName,
    /// Not an address that a logo can be fetched from.
    #[error("expected an https address of at most {} bytes without user name or password", Branding::MAX_URL_BYTES)]
    LogoUrl,
}

impl ReportRequestError {
    /// The path of the wrong field, below the body.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::ScanIds => "scan_ids",
            Self::CompanyName => "custom_branding.company_name",
            Self::LogoUrl => "custom_branding.logo_url",
        }
    }
}

impl Branding {
    /// The longest address of a logo.
    pub const MAX_URL_BYTES: usize = 2_048;

    /// Checks a client's branding. Whether the logo's address may be called is decided where it is fetched.
    ///
    /// # Errors
    /// `CompanyName`, `LogoUrl`.
    pub fn parse(company_name: Option<&str>, logo_url: Option<&str>) -> Result<Self, ReportRequestError> {
        Ok(Self {
            company_name: company_name.map(CompanyName::parse).transpose()?,
            logo_url: logo_url.map(parse_logo_url).transpose()?,
        })
    }
}

fn parse_logo_url(text: &str) -> Result<Url, ReportRequestError> {
    let url = Url::parse(text).map_err(|_| ReportRequestError::LogoUrl)?;
    let anonymous = url.username().is_empty() && url.password().is_none();
    let fits = text.len() <= Branding::MAX_URL_BYTES && url.as_str().len() <= Branding::MAX_URL_BYTES;
    if fits && anonymous && url.scheme() == "https" && url.host().is_some() {
        return Ok(url);
    }
    Err(ReportRequestError::LogoUrl)
}

impl ReportRequest {
    /// The most scans of one report.
    pub const MAX_SCANS: usize = 100;

    /// Checks what a client asked for.
    ///
    /// # Errors
    /// `ScanIds` when there is none, too many, or one twice.
    pub fn parse(
        scan_ids: Vec<ScanId>,
        format: ReportFormat,
        executive_summary: bool,
        technical_details: bool,
        branding: Branding,
    ) -> Result<Self, ReportRequestError> {
        let mut distinct = scan_ids.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() != scan_ids.len() || !(1..=Self::MAX_SCANS).contains(&scan_ids.len()) {
            return Err(ReportRequestError::ScanIds);
        }
        Ok(Self {
            scan_ids,
            format,
            include_executive_summary: executive_summary,
            include_technical_details: technical_details,
            branding,
        })
    }
}

/// A rendered document, or one to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Identity.
    pub id: ReportId,
    /// Owner.
    pub organization_id: OrganizationId,
    /// How far it is.
    pub state: ReportState,
}

/// A rendered document, as it lies in the object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its size.
    pub size_bytes: u64,
    /// Its SHA-256, as 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// How far a report is; each state holds exactly what is known in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportState {
    /// Waits for a renderer.
    Queued,
    /// A renderer holds its lease.
    Running {
        /// The claim; grows at every claim of the report, and only its holder may end the report.
        attempt: i32,
    },
    /// Rendered and stored.
    Done {
        /// The claim that rendered it; part of the document's name in the object store.
        attempt: i32,
        /// What was stored.
        document: Document,
        /// When it was stored.
        ended_at: Timestamp,
    },
    /// Could not be rendered.
    Failed {
        /// When that was clear.
        ended_at: Timestamp,
        /// Why, in words fit for the client.
        reason: String,
    },
}

impl ReportState {
    /// The names of all states, in their order.
    pub const NAMES: [&'static str; 4] = ["queued", "running", "done", "failed"];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running { .. } => "running",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
        }
    }

    /// Whether the report can still change.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Queued | Self::Running { .. } => false,
            Self::Done { .. } | Self::Failed { .. } => true,
        }
    }
}

impl Report {
    /// The document is stored. The report is done, and the world hears of it.
    ///
    /// # Errors
    /// When the report is not being rendered.
    pub fn complete(self, document: Document, now: Timestamp) -> Result<Transition<Self>, InvalidTransition> {
        match self.state {
            ReportState::Running { attempt } => {
                let state = ReportState::Done { attempt, document, ended_at: now };
                let generated = EventBody::ReportGenerated(ReportChanged { report_id: self.id });
                Ok(Transition { entity: Self { state, ..self }, events: vec![generated] })
            }
            ReportState::Queued | ReportState::Done { .. } | ReportState::Failed { .. } => Err(self.refuse("complete")),
        }
    }

    /// The report cannot be rendered, in words fit for the client. Tells nobody: neither dialect has an event for it.
    ///
    /// # Errors
    /// When the report has ended.
    pub fn fail(self, reason: String, now: Timestamp) -> Result<Transition<Self>, InvalidTransition> {
        if self.state.is_final() {
            return Err(self.refuse("fail"));
        }
        let state = ReportState::Failed { ended_at: now, reason };
        Ok(Transition { entity: Self { state, ..self }, events: Vec::new() })
    }

    const fn refuse(&self, action: &'static str) -> InvalidTransition {
        InvalidTransition { action, entity: "report", from: self.state.name() }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn now() -> Timestamp {
        "2026-01-15T14:30:00Z".parse().unwrap()
    }

    fn report(state: ReportState) -> Report {
        let (id, organization_id) = (ReportId::from_uuid(Uuid::nil()), OrganizationId::from_uuid(Uuid::nil()));
        Report { id, organization_id, state }
    }

    fn document() -> Document {
        Document { size_bytes: 9, sha256: "00".repeat(32) }
    }

    #[test]
    fn a_rendered_report_is_done_and_announced() {
        let done = report(ReportState::Running { attempt: 2 }).complete(document(), now()).unwrap();
        assert_eq!(done.entity.state, ReportState::Done { attempt: 2, document: document(), ended_at: now() });
        assert_eq!(done.events, [EventBody::ReportGenerated(ReportChanged { report_id: done.entity.id })]);
    }

    #[test]
    fn only_a_running_report_completes() {
        let refused = report(ReportState::Queued).complete(document(), now()).unwrap_err();
        assert_eq!(refused.to_string(), "cannot complete a report that is queued");
    }

    #[test]
    fn a_report_that_ended_stays_ended() {
        let done = ReportState::Done { attempt: 1, document: document(), ended_at: now() };
        let failed = ReportState::Failed { ended_at: now(), reason: "too large".to_owned() };
        for state in [done, failed] {
            assert!(state.is_final());
            assert!(report(state.clone()).complete(document(), now()).is_err());
            assert!(report(state).fail(String::new(), now()).is_err());
        }
    }

    #[test]
    fn formats_are_found_by_their_names() {
        assert!(ReportFormat::ALL.into_iter().all(|format| ReportFormat::find(format.name()) == Some(format)));
        assert_eq!(ReportFormat::find("PDF"), None);
    }

    #[test]
    fn a_report_needs_scans_and_each_once() {
        let parse = |ids: Vec<ScanId>| ReportRequest::parse(ids, ReportFormat::Pdf, true, true, Branding::default());
        let ids: Vec<_> = (0..=100_u128).map(|id| ScanId::from_uuid(Uuid::from_u128(id))).collect();
        let twice = [ids[1], ids[0], ids[1]].to_vec();
        for wrong in [Vec::new(), twice, ids.clone()] {
            assert_eq!(parse(wrong).unwrap_err().field(), "scan_ids");
        }
        let request = parse(ids[..100].to_vec()).unwrap();
        assert_eq!(request.scan_ids, ids[..100], "the client's order is kept");
    }

    #[test]
    fn a_company_name_is_one_short_line() {
        for wrong in ["", "  ", "two\nlines", "nul\0", &"x".repeat(101)] {
            let error = Branding::parse(Some(wrong), None).unwrap_err();
            assert_eq!(error.field(), "custom_branding.company_name");
        }
        let branding = Branding::parse(Some(" Açme 安全 <b> "), None).unwrap();
        assert_eq!(branding.company_name.unwrap().as_str(), "Açme 安全 <b>");
    }

    #[test]
    fn a_logo_comes_from_an_https_address_without_credentials() {
        let long = format!("https://example.com/{}", "x".repeat(2_048));
        let wrong = [
            "",
            "logo.png",
            "http://example.com/l",
            "file:///etc/passwd",
            "https://a:b@example.com/",
            "data:,x",
            &long,
        ];
        for wrong in wrong {
            assert_eq!(Branding::parse(None, Some(wrong)).unwrap_err().field(), "custom_branding.logo_url");
        }
        assert!(Branding::parse(None, Some("https://example.com/logo.png")).unwrap().logo_url.is_some());
    }
}
