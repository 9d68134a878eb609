//! The logo of a report's branding, fetched once, when the report is asked for, through the guard of all outbound calls
//! (`docs/contract.md` §12). What cannot be fetched is a warning on the report, never its end.

use picket_blobs::BlobKey;
use picket_domain::{Branding, OrganizationId, ReportId};

use crate::{App, Problem};

/// Fetches and keeps the logo; returns what the report's record must say of it.
pub(super) async fn keep(
    app: &App,
    organization: OrganizationId,
    report: ReportId,
    branding: &Branding,
) -> Result<Vec<String>, Problem> {
    let Some(url) = &branding.logo_url else { return Ok(Vec::new()) };
    match app.http.fetch_image(url).await {
        Ok(image) => {
            let key = BlobKey::report_logo(organization, report);
            app.blobs.put(&key, image.bytes).await.map_err(|error| Problem::Unavailable(Box::new(error)))?;
            Ok(Vec::new())
        }
        Err(error) => {
            tracing::debug!(report.id = %report, error.class = error.class().name(), "a logo was not fetched");
            Ok(vec![format!("the logo could not be fetched: {}", error.class().text())])
        }
    }
}
