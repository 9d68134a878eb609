//! The way through the API, step by step. Every answer is checked: a step that only seems to have worked fails here.

mod account;
mod events;
mod reports;
mod scan;

use std::path::Path;

use picket_store::Db;

use super::{
    api::Api,
    console::Console,
    document::Subject,
    failure::Failure,
    inbox::Inbox,
    receiver::Receiver,
    step::{Progress, Step},
    summary::DemoSummary,
    table,
    target::DemoTarget,
};

/// What the way needs.
pub(super) struct Journey<'a> {
    /// The API, without credentials.
    pub(super) api: Api<'a>,
    pub(super) console: &'a Console,
    pub(super) progress: &'a Progress<'a>,
    pub(super) target: &'a DemoTarget,
    pub(super) receiver: &'a Receiver,
    /// The folder of the reports.
    pub(super) output: &'a Path,
    /// The platform's database, where the demo is its operator too.
    pub(super) operator: Option<&'a Db>,
}

impl Journey<'_> {
    /// Goes all the way.
    pub(super) async fn travel(&self) -> Result<DemoSummary, Failure> {
        self.wait_for_api().await?;
        let api = self.open_account().await?;
        let webhook = self.create_webhook(&api).await?;
        let mut inbox = Inbox::new(self.receiver, webhook.secret);

        let scan_id = self.create_scan(&api).await?;
        self.follow_scan(&api, &scan_id).await?;
        let result = self.fetch_result(&api, &scan_id).await?;
        self.progress.begin(Step::VerifyWebhook);
        self.verify_scan_events(&api, &webhook.id, &mut inbox, &result).await?;

        let target = self.target.host();
        let subject = Subject { scan_id: &scan_id, target: &target, findings: result.findings.total };
        let reports = self.ask_reports(&api, &scan_id).await?;
        let pdf = self.fetch_reports(&api, &reports, &subject).await?;
        self.progress.begin(Step::VerifyReports);
        self.verify_report_events(&api, &webhook.id, &mut inbox, &reports).await?;

        self.console.show(&table::findings(&result.vulnerabilities));
        let folder = std::env::current_dir().ok();
        Ok(DemoSummary::new(&scan_id, result.findings.total, &pdf, folder.as_deref()))
    }
}
