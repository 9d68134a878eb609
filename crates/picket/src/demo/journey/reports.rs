//! The reports: asked for together, fetched when they are done, and checked before they are kept.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use tokio::{fs, time::timeout};

use super::Journey;
use crate::demo::{
    answers::{NewReport, ReportStatus},
    api::Api,
    console::plain,
    document::{Format, Subject},
    failure::Failure,
    step::Step,
};

/// Between two questions whether a report is done, unless a webhook tells that something happened.
const PAUSE: Duration = Duration::from_secs(2);

/// A report that was asked for.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) id: String,
    pub(super) format: Format,
}

impl Journey<'_> {
    /// Asks for one report of each form.
    pub(super) async fn ask_reports(&self, api: &Api<'_>, scan_id: &str) -> Result<Vec<Report>, Failure> {
        self.progress.begin(Step::AskReports);
        let mut reports = Vec::new();
        for format in Format::ALL {
            let request = json!({
                "scan_ids": [scan_id],
                "format": format.name(),
                "include_executive_summary": true,
                "include_technical_details": true,
                "custom_branding": { "company_name": "Demo Company" },
            });
            let report: NewReport = api.post("/reports/generate", &request).await?;
            if !report.report_id.starts_with("rep_") || report.report_id.contains('/') {
                let expected = "an id of the form rep_…".to_owned();
                return Err(Failure::Unexpected { expected, found: plain(&report.report_id) });
            }
            reports.push(Report { id: report.report_id, format });
        }
        Ok(reports)
    }

    /// Fetches the reports into the folder; gives the PDF's path.
    pub(super) async fn fetch_reports(
        &self,
        api: &Api<'_>,
        reports: &[Report],
        subject: &Subject<'_>,
    ) -> Result<PathBuf, Failure> {
        self.progress.begin(Step::FetchReports);
        let kept = |path: &Path| {
            let path = path.to_owned();
            move |source| Failure::Write { path, source }
        };
        fs::create_dir_all(self.output).await.map_err(kept(self.output))?;
        for report in reports {
            self.await_report(api, report).await?;
            let document = api.download(&format!("/reports/{}/download", report.id)).await?;
            report.format.check(&document, subject)?;
            let path = self.path(report.format);
            fs::write(&path, &document).await.map_err(kept(&path))?;
            self.console.note(&format!("{} ({} bytes)", path.display(), document.len()));
        }
        Ok(self.path(Format::Pdf))
    }

    fn path(&self, format: Format) -> PathBuf {
        self.output.join(format!("demo-report.{}", format.name()))
    }

    async fn await_report(&self, api: &Api<'_>, report: &Report) -> Result<(), Failure> {
        loop {
            let heard = self.receiver.deliveries(0).len();
            let state: ReportStatus = api.get(&format!("/reports/{}", report.id)).await?;
            match state.status.as_str() {
                "done" => return Ok(()),
                "queued" | "running" => {
                    let _either = timeout(PAUSE, self.receiver.more_than(heard)).await;
                }
                status => {
                    let found = plain(&format!("{status}, {}", state.rest));
                    return Err(Failure::Unexpected { expected: format!("a {} report", report.format.name()), found });
                }
            }
        }
    }
}
