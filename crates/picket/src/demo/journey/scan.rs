//! The scan: asked for as the published reference does it, followed politely, and its result weighed against what the
//! target is known to have.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::Journey;
use crate::demo::{
    answers::{Counts, CoverageLine, NewScan, ScanResult, ScanStatus},
    api::Api,
    console::plain,
    failure::Failure,
    step::Step,
};

/// Between two questions how far the scan is, unless a webhook tells that something happened.
const PAUSE: Duration = Duration::from_secs(2);

impl Journey<'_> {
    /// Asks for the scan; gives its id.
    pub(super) async fn create_scan(&self, api: &Api<'_>) -> Result<String, Failure> {
        self.progress.begin(Step::CreateScan);
        let request = json!({
            "target": self.target.host(),
            "tool": "nmap",
            "parameters": { "scan_type": "-sV -sC -O", "ports": self.target.ports(), "timing": "-T4" },
            "scan_type": "custom",
            "notify": ["email"],
        });
        let scan: NewScan = api.post("/scans/create", &request).await?;
        let is_id = scan.id.starts_with("scan_") && scan.id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if scan.status != "created" || !is_id {
            let found = plain(&format!("{} as {}", scan.status, scan.id));
            return Err(Failure::Unexpected { expected: "a scan that is created".to_owned(), found });
        }
        self.console.note(&format!("{} of {}, ports {}", scan.id, self.target.host(), self.target.ports()));
        Ok(scan.id)
    }

    /// Follows the scan to its end.
    pub(super) async fn follow_scan(&self, api: &Api<'_>, scan_id: &str) -> Result<(), Failure> {
        self.progress.begin(Step::FollowScan);
        let mut shown = String::new();
        loop {
            let heard = self.receiver.deliveries(0).len();
            let scan: ScanStatus = api.get(&format!("/scan/{scan_id}/status")).await?;
            let line = plain(&format!("{}, {} %, {} findings", scan.status, scan.progress, scan.findings.total));
            if line != shown {
                self.console.note(&line);
                shown = line;
            }
            match scan.status.as_str() {
                "completed" => return Ok(()),
                "created" | "queued" | "running" | "paused" => {
                    let _either = timeout(PAUSE, self.receiver.more_than(heard)).await;
                }
                _ => {
                    let message = plain(&scan.message.unwrap_or_default());
                    return Err(Failure::Scan { status: plain(&scan.status), message });
                }
            }
        }
    }

    /// Fetches what was found, and refuses a result that misses something the target has.
    pub(super) async fn fetch_result(&self, api: &Api<'_>, scan_id: &str) -> Result<ScanResult, Failure> {
        self.progress.begin(Step::FetchResult);
        let result: ScanResult = api.get(&format!("/scan/{scan_id}/result")).await?;
        let Counts { total, critical, high, medium, low, info } = result.findings;
        let seconds = Duration::from_millis(result.duration_ms.unwrap_or_default()).as_secs_f64();
        self.console.note(&format!(
            "{total} findings in {seconds:.1} s: {critical} critical, {high} high, {medium} medium, {low} low, {info} info"
        ));
        self.check_result(scan_id, &result)?;
        Ok(result)
    }

    fn check_result(&self, scan_id: &str, result: &ScanResult) -> Result<(), Failure> {
        let (listed, total) = (u64::try_from(result.vulnerabilities.len()).ok(), result.findings.total);
        if result.scan_id != scan_id || result.status != "completed" || listed != Some(total) {
            let found = format!("{}, {} with {} findings", result.scan_id, result.status, result.vulnerabilities.len());
            let expected = format!("{scan_id}, completed with {total} findings");
            return Err(Failure::Unexpected { expected, found: plain(&found) });
        }
        self.check_coverage(&result.coverage)?;
        for service in self.target.services() {
            let place = service.address.to_string();
            if !result.vulnerabilities.iter().any(|finding| finding.location.contains(&place)) {
                let expected = format!("a finding of {} at {place}", service.name);
                return Err(Failure::Unexpected { expected, found: "none".to_owned() });
            }
        }
        Ok(())
    }

    /// Everything was looked at, but for the operating system's fingerprint where no worker may open raw sockets.
    fn check_coverage(&self, coverage: &[CoverageLine]) -> Result<(), Failure> {
        for line in coverage {
            let why = [&line.reason, &line.detail].map(|text| text.clone().unwrap_or_default()).join(" ");
            let found = plain(&format!("{} at {} {} {why}", line.tool, line.target, line.state));
            self.console.note(&format!("coverage: {}", found.trim_end()));
            let is_raw = line.reason.as_deref() == Some("capability_unavailable");
            if line.state != "done" && !is_raw {
                return Err(Failure::Unexpected { expected: "everything looked at".to_owned(), found });
            }
        }
        if coverage.iter().any(|line| line.state == "done") {
            return Ok(());
        }
        Err(Failure::Unexpected { expected: "something looked at".to_owned(), found: "nothing".to_owned() })
    }
}
