//! One claimed report, from its content to its document. Holds the lease while it works and ends the claim in every case
//! but a lost lease: then another renderer has the report, and nothing may be written.

use std::{future::Future, time::Instant};

use bytes::Bytes;
use picket_blobs::{BlobError, BlobKey, Blobs};
use picket_domain::{Document, OrganizationId, ReportFormat, ReportId, ReportState, cause};
use picket_kit::{ChildCommand, Clock, Shutdown, TraceParent};
use picket_store::{
    Db, StoreError,
    reports::{self, ClaimedReport, HandBack, ReportFence, content, read},
};
use sha2::{Digest, Sha256};
use tracing::Instrument;

use crate::{Logo, RenderError, RendererSettings, ReportModel, compose::compose, render_html, render_json, render_pdf};

/// What the loops share; cheap to clone.
#[derive(Clone)]
pub(crate) struct Jobs {
    pub(crate) db: Db,
    pub(crate) blobs: Blobs,
    pub(crate) clock: Clock,
    pub(crate) settings: RendererSettings,
    pub(crate) pdf: ChildCommand,
}

/// Why a claimed report has no document yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blobs(#[from] BlobError),
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error("a thread of the renderer broke")]
    Thread(#[from] tokio::task::JoinError),
    #[error("the report is another renderer's by now")]
    Lost,
    #[error("told to stop")]
    Interrupted,
}

/// A document that is not stored yet.
struct Rendered {
    content: Bytes,
    warnings: Vec<String>,
}

impl Jobs {
    /// Claims the report, if it waits.
    pub(crate) async fn claim(
        &self,
        organization: OrganizationId,
        id: ReportId,
    ) -> Result<Option<ClaimedReport>, StoreError> {
        let lease = self.settings.lease();
        self.db.run("reports.claim", organization, async |tx| reports::claim(tx, id, lease).await).await
    }

    /// Renders a claimed report, or gives it back when it is time to stop.
    pub(crate) async fn work(&self, claimed: &ClaimedReport, shutdown: &Shutdown) {
        let format = claimed.request.format;
        let span = tracing::info_span!("renderer.report.run", report.id = %claimed.fence.report_id,
            tenant.id = %claimed.organization_id, report.format = format.name(), trace.id = tracing::field::Empty);
        if let Some(trace) = claimed.traceparent.as_deref().and_then(|text| text.parse::<TraceParent>().ok()) {
            span.record("trace.id", trace.trace_id());
        }
        async {
            let begun = Instant::now();
            let done = if claimed.failures >= self.settings.max_failures {
                self.give_up(claimed, "rendering was tried several times and did not end").await.map(|()| "failed")
            } else {
                self.try_once(claimed, shutdown).await
            };
            let outcome = done.unwrap_or_else(|error| {
                // Nothing is lost: the lease ends, and the report is claimed again.
                tracing::warn!(error = cause(&error), "the report is left to its lease");
                "left"
            });
            metrics::counter!("picket_reports_total", "format" => format.name(), "outcome" => outcome).increment(1);
            metrics::histogram!("picket_report_seconds", "format" => format.name())
                .record(begun.elapsed().as_secs_f64());
        }
        .instrument(span)
        .await;
    }

    async fn try_once(&self, claimed: &ClaimedReport, shutdown: &Shutdown) -> Result<&'static str, StoreError> {
        let made = self.while_held(claimed, shutdown, self.make(claimed)).await;
        match made {
            Ok(()) => {
                tracing::info!("a report was rendered");
                Ok("done")
            }
            Err(JobError::Lost) => {
                tracing::warn!("the report is another renderer's by now");
                self.forget(claimed).await;
                Ok("lost")
            }
            Err(JobError::Interrupted) => self.hand_back(claimed, HandBack::Interrupted).await.map(|()| "interrupted"),
            Err(JobError::Store(StoreError::Stale { .. })) => {
                self.forget(claimed).await;
                Ok("lost")
            }
            Err(error) => self.went_wrong(claimed, error).await,
        }
    }

    /// Ends the claim after a failure: another try, or the end when there can be none.
    async fn went_wrong(&self, claimed: &ClaimedReport, error: JobError) -> Result<&'static str, StoreError> {
        tracing::error!(error = cause(&error), "a report could not be rendered");
        let is_last = claimed.failures.saturating_add(1) >= self.settings.max_failures;
        let reason = match error {
            JobError::Store(error) if error.is_outage() => return Err(error),
            JobError::Render(error) => (error.is_final() || is_last).then_some(error.reason()),
            JobError::Store(_) | JobError::Blobs(_) | JobError::Thread(_) | JobError::Lost | JobError::Interrupted => {
                is_last.then_some("the report could not be made or stored")
            }
        };
        match reason {
            Some(reason) => self.give_up(claimed, reason).await.map(|()| "failed"),
            None => self.hand_back(claimed, HandBack::Failed).await.map(|()| "retried"),
        }
    }

    /// Runs `work`, renewing the lease; drops it when the lease is lost or it is time to stop.
    async fn while_held(
        &self,
        claimed: &ClaimedReport,
        shutdown: &Shutdown,
        work: impl Future<Output = Result<(), JobError>>,
    ) -> Result<(), JobError> {
        tokio::select! {
            done = work => done,
            () = shutdown.wait() => Err(JobError::Interrupted),
            () = self.hold(claimed.organization_id, claimed.fence) => Err(JobError::Lost),
        }
    }

    /// Renews the lease until it is lost.
    async fn hold(&self, organization: OrganizationId, fence: ReportFence) {
        let lease = self.settings.lease();
        loop {
            tokio::time::sleep(lease / 3).await;
            let renewed =
                self.db.run("reports.renew", organization, async |tx| reports::renew(tx, fence, lease).await).await;
            match renewed {
                Ok(true) => {}
                Ok(false) => return,
                // The database is away: whether the lease holds is told by the completion.
                Err(error) => tracing::debug!(error = cause(&error), "a lease was not renewed"),
            }
        }
    }

    async fn make(&self, claimed: &ClaimedReport) -> Result<(), JobError> {
        let (request, organization) = (&claimed.request, claimed.organization_id);
        let limits = self.settings.content(request.format);
        let said = self
            .db
            .run("reports.content", organization, async |tx| {
                content::load(tx, organization, &request.scan_ids, limits).await
            })
            .await?;
        let (logo, found) = self.logo(claimed).await;
        let warnings = claimed.warnings.iter().cloned().chain(found.clone()).collect();
        let model = compose(claimed, said, logo, warnings, self.clock.now());
        picket_faults::point("renderer::before_render");
        let mut rendered = self.render(model, request.format).await?;
        rendered.warnings.extend(found);
        self.keep(claimed, rendered).await
    }

    /// The logo that was fetched when the report was asked for, and what is to be said when it cannot be shown.
    async fn logo(&self, claimed: &ClaimedReport) -> (Option<Logo>, Option<String>) {
        if claimed.request.branding.logo_url.is_none() {
            return (None, None);
        }
        let key = BlobKey::report_logo(claimed.organization_id, claimed.fence.report_id);
        let limit = u64::try_from(Logo::MAX_BYTES).unwrap_or(u64::MAX);
        match self.blobs.get(&key, limit).await {
            Ok(content) => match Logo::parse(content.to_vec()) {
                Ok(logo) => (Some(logo), None),
                Err(error) => (None, Some(format!("The logo is left out: {error}."))),
            },
            // It could not be fetched; the record says so since it was asked for.
            Err(BlobError::NotFound { .. }) => (None, None),
            Err(error) => {
                tracing::warn!(error = cause(&error), "a logo cannot be read");
                (None, Some("The logo is left out: it could not be read.".to_owned()))
            }
        }
    }

    async fn render(&self, model: ReportModel, format: ReportFormat) -> Result<Rendered, JobError> {
        let plain = |content: Vec<u8>| Rendered { content: content.into(), warnings: Vec::new() };
        match format {
            ReportFormat::Json => Ok(plain(tokio::task::spawn_blocking(move || render_json(&model)).await??)),
            ReportFormat::Html => Ok(plain(tokio::task::spawn_blocking(move || render_html(&model)).await??)),
            ReportFormat::Pdf => {
                let pdf = render_pdf(&model, &self.settings.pdf(self.pdf.clone())).await?;
                tracing::debug!(pages = pdf.pages, accessible = pdf.accessible, "a PDF was typeset");
                Ok(Rendered { content: pdf.content.into(), warnings: pdf.warnings })
            }
        }
    }

    async fn keep(&self, claimed: &ClaimedReport, rendered: Rendered) -> Result<(), JobError> {
        let sha256 = Sha256::digest(&rendered.content).iter().map(|byte| format!("{byte:02x}")).collect();
        picket_faults::point("renderer::before_store");
        let stored = self.blobs.put(&key(claimed), rendered.content).await?;
        picket_faults::point("renderer::before_commit");
        let document = Document { size_bytes: stored.size_bytes, sha256 };
        let (fence, now) = (claimed.fence, self.clock.now());
        self.db
            .run("reports.complete", claimed.organization_id, async |tx| {
                reports::complete(tx, fence, document, &rendered.warnings, now).await
            })
            .await?;
        Ok(())
    }

    async fn give_up(&self, claimed: &ClaimedReport, reason: &str) -> Result<(), StoreError> {
        let (fence, now) = (claimed.fence, self.clock.now());
        self.db
            .run("reports.fail", claimed.organization_id, async |tx| reports::fail(tx, fence, reason, now).await)
            .await
    }

    async fn hand_back(&self, claimed: &ClaimedReport, why: HandBack) -> Result<(), StoreError> {
        let fence = claimed.fence;
        self.db
            .run("reports.hand_back", claimed.organization_id, async |tx| reports::hand_back(tx, fence, why).await)
            .await
    }

    /// Deletes what this attempt may have stored, unless it is the document of the report after all: a renewal also
    /// fails when the completion was committed and its answer is still on the way.
    async fn forget(&self, claimed: &ClaimedReport) {
        let id = claimed.fence.report_id;
        let found = self.db.run("reports.find", claimed.organization_id, async |tx| read::find(tx, id).await).await;
        let Ok(Some(record)) = found else { return };
        if matches!(record.report.state, ReportState::Done { attempt, .. } if attempt == claimed.fence.attempt) {
            return;
        }
        if let Err(error) = self.blobs.delete(&key(claimed)).await {
            tracing::warn!(error = cause(&error), "a document that nobody needs stays");
        }
    }
}

fn key(claimed: &ClaimedReport) -> BlobKey {
    BlobKey::report(claimed.organization_id, claimed.fence.report_id, claimed.fence.attempt, claimed.request.format)
}
