//! Asking for a report: the scans are the caller's, the branding is checked, the logo is fetched, then the report is
//! stored with the event that wakes a renderer. The logo is fetched outside of any transaction.
//!
//! A scan that is not the caller's is 404, as anything foreign is, and cannot be told from one that does not exist.

use actix_web::HttpResponse;
use picket_domain::{AuditAction, Branding, ReportFormat, ReportId, ReportRequest, ReportRequestError, ScanId};
use picket_store::{
    audit, organizations,
    reports::{self, CreatedReport, NewReport},
    scans,
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::logo;
use crate::{App, Caller, Problem, RequestContext, idempotency};

/// The form of a report.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum FormatChoice {
    /// A document to print and to hand on.
    #[default]
    Pdf,
    /// One page that needs no other file.
    Html,
    /// For programs.
    Json,
}

impl From<FormatChoice> for ReportFormat {
    fn from(choice: FormatChoice) -> Self {
        match choice {
            FormatChoice::Pdf => Self::Pdf,
            FormatChoice::Html => Self::Html,
            FormatChoice::Json => Self::Json,
        }
    }
}

/// Whose name and logo a report carries; without a word of it, what the organization has chosen (`PATCH /org`).
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BrandingChoice {
    /// The name on the cover; your organization's when absent.
    #[schema(example = "Your Company", max_length = 100)]
    pub(super) company_name: Option<String>,
    /// A PNG or JPEG at a public https address. When it cannot be fetched the report is made without it, and says so among
    /// its warnings.
    #[schema(example = "https://yoursite.com/logo.png", max_length = 2048)]
    pub(super) logo_url: Option<String>,
}

/// What a client wants, before its scans are known to be there.
pub(super) struct Order {
    pub(super) format: ReportFormat,
    pub(super) executive_summary: bool,
    pub(super) technical_details: bool,
    pub(super) branding: Option<BrandingChoice>,
}

/// A report that was accepted.
pub(super) struct Ordered {
    pub(super) id: ReportId,
    pub(super) number: i64,
    pub(super) format: ReportFormat,
}

/// Who asks.
pub(super) struct Customer<'a> {
    pub(super) app: &'a App,
    pub(super) caller: &'a Caller,
    pub(super) context: &'a RequestContext,
}

impl Customer<'_> {
    /// The ids of scans that are named by their numbers.
    pub(super) async fn scans(&self, numbers: &[i64]) -> Result<Vec<ScanId>, Problem> {
        if numbers.len() > ReportRequest::MAX_SCANS {
            return Err(refused(ReportRequestError::ScanIds));
        }
        self.app
            .db
            .read("find_scans_of_report", self.caller.organization_id, async |tx| {
                let mut ids = Vec::with_capacity(numbers.len());
                for number in numbers {
                    let found = scans::read::find_by_number(tx, *number).await?;
                    ids.push(found.ok_or(Problem::NotFound("scan"))?.scan.id);
                }
                Ok(ids)
            })
            .await
    }

    /// Accepts a report.
    pub(super) async fn order(
        &self,
        scan_ids: Vec<ScanId>,
        order: Order,
        answer: impl FnOnce(Ordered) -> HttpResponse,
    ) -> Result<HttpResponse, Problem> {
        let (app, now) = (self.app, self.app.clock.now());
        let choice = match order.branding {
            Some(choice) => choice,
            None => self.usual_branding().await?,
        };
        let branding = Branding::parse(choice.company_name.as_deref(), choice.logo_url.as_deref()).map_err(refused)?;
        let (summary, details) = (order.executive_summary, order.technical_details);
        let request = ReportRequest::parse(scan_ids, order.format, summary, details, branding).map_err(refused)?;
        self.check_scans(&request).await?;
        let id = ReportId::mint(now);
        let new = NewReport {
            id,
            organization_id: self.caller.organization_id,
            warnings: logo::keep(app, self.caller.organization_id, id, &request.branding).await?,
            request,
            requested_by: self.caller.label(),
            traceparent: Some(self.context.traceparent()),
        };
        app.db
            .run("create_report", self.caller.organization_id, async |tx| {
                let created = reports::create(tx, &new, now).await?.ok_or(Problem::NotFound("scan"))?;
                let entry = self
                    .context
                    .entry(now, &new.requested_by, AuditAction::ReportRequested, Some(id.to_string()))
                    .change(None, Some(json!({"format": new.request.format, "scans": new.request.scan_ids})));
                audit::record(tx, new.organization_id, &entry).await?;
                let CreatedReport { number } = created;
                idempotency::keep(app, tx, answer(Ordered { id, number, format: new.request.format })).await
            })
            .await
    }

    /// What the organization's reports look like when nothing else is asked for.
    async fn usual_branding(&self) -> Result<BrandingChoice, Problem> {
        let tenant = self.caller.organization_id;
        let find =
            self.app.db.read("find_branding", tenant, async |tx| Ok::<_, Problem>(organizations::find(tx).await?));
        let branding = find.await?.map(|organization| organization.choices.branding).unwrap_or_default();
        Ok(BrandingChoice { company_name: branding.company_name, logo_url: branding.logo_url })
    }

    /// Before anything is fetched for a report that cannot be; the store looks again when it creates the report.
    async fn check_scans(&self, request: &ReportRequest) -> Result<(), Problem> {
        self.app
            .db
            .run("check_scans_of_report", self.caller.organization_id, async |tx| {
                for id in &request.scan_ids {
                    scans::read::find(tx, *id).await?.ok_or(Problem::NotFound("scan"))?;
                }
                Ok(())
            })
            .await
    }
}

fn refused(error: ReportRequestError) -> Problem {
    Problem::field(error.field(), "invalid_value", error.to_string())
}
