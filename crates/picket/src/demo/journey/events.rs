//! What the webhook must have told, every word of it signed.

use std::time::Duration;

use serde_json::Value;

use super::{Journey, reports::Report};
use crate::demo::{
    answers::{Payload, ScanResult},
    api::Api,
    console::plain,
    failure::Failure,
    inbox::Inbox,
};

/// How long a delivery may take after what it tells of; its first retry comes after 5 s.
const DELIVERY_WAIT: Duration = Duration::from_secs(30);
/// The events of a scan that goes well.
const OF_A_SCAN: [&str; 3] = ["scan.created", "scan.started", "scan.completed"];

impl Journey<'_> {
    /// The scan's events came, and the last one tells what the result tells.
    pub(super) async fn verify_scan_events(
        &self,
        api: &Api<'_>,
        webhook_id: &str,
        inbox: &mut Inbox<'_>,
        result: &ScanResult,
    ) -> Result<(), Failure> {
        let mut last = Value::Null;
        for event in OF_A_SCAN {
            let is_ours = |data: &Value| data.get("scan_id").is_some_and(|id| *id == *result.scan_id);
            last = self.await_event(api, webhook_id, inbox, event, is_ours).await?.data;
        }
        let (total, critical) = (result.findings.total, result.findings.critical);
        let fits = last.get("status").is_some_and(|status| status == "completed")
            && last.get("findings_count").is_some_and(|count| *count == total)
            && last.get("critical_count").is_some_and(|count| *count == critical);
        if !fits {
            let expected = format!("a webhook that tells of {total} findings, {critical} of them critical");
            return Err(Failure::Unexpected { expected, found: plain(&last.to_string()) });
        }
        self.console.note(&format!("{} deliveries, each with a good signature", inbox.count()));
        Ok(())
    }

    /// Every report was told of.
    pub(super) async fn verify_report_events(
        &self,
        api: &Api<'_>,
        webhook_id: &str,
        inbox: &mut Inbox<'_>,
        reports: &[Report],
    ) -> Result<(), Failure> {
        for report in reports {
            let is_it = |data: &Value| {
                data.get("report_id").is_some_and(|id| *id == *report.id)
                    && data.get("format").is_some_and(|format| format == report.format.name())
            };
            self.await_event(api, webhook_id, inbox, "report.generated", is_it).await?;
        }
        self.console.note(&format!("{} deliveries, each with a good signature", inbox.count()));
        Ok(())
    }

    async fn await_event(
        &self,
        api: &Api<'_>,
        webhook_id: &str,
        inbox: &mut Inbox<'_>,
        event: &'static str,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Payload, Failure> {
        if let Some(payload) = inbox.wait_for(event, is_it, DELIVERY_WAIT).await? {
            return Ok(payload);
        }
        let listed = api.get::<Value>(&format!("/webhooks/{webhook_id}/deliveries")).await;
        let deliveries = listed.map_or_else(|failure| failure.to_string(), |listed| listed.to_string());
        Err(Failure::NoDelivery { event, within: DELIVERY_WAIT, deliveries: plain(&deliveries) })
    }
}
