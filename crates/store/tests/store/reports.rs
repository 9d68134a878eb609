//! Reports: asked for, claimed, ended once, and what they say.

use std::time::Duration;

use picket_domain::{Branding, Document, ReportFormat, ReportId, ReportRequest, ReportState, ScanId, Severity};
use picket_store::{
    StoreError,
    reports::{self, ClaimedReport, CreatedReport, HandBack, NewReport, content, read},
    scans::read::Range,
    tasks::{self, RunRecord},
};
use picket_testkit::seed;

use crate::scenario::{Scenario, now, observation};

const LEASE: Duration = Duration::from_secs(30);
const LIMITS: content::ContentLimits = content::ContentLimits { findings: 100, text_bytes: 1_000_000 };

fn new_report(scenario: &Scenario, scans: &[ScanId]) -> NewReport {
    let branding = Branding::parse(Some("Acme 安全"), Some("https://example.com/logo.png")).unwrap();
    NewReport {
        id: ReportId::mint(now()),
        organization_id: scenario.organization,
        request: ReportRequest::parse(scans.to_vec(), ReportFormat::Pdf, true, false, branding).unwrap(),
        warnings: vec!["The logo could not be fetched.".to_owned()],
        requested_by: "usr_test".to_owned(),
        traceparent: None,
    }
}

async fn create(scenario: &Scenario, new: &NewReport) -> Option<CreatedReport> {
    scenario.db.run("test", new.organization_id, async |tx| reports::create(tx, new, now()).await).await.unwrap()
}

async fn claim(scenario: &Scenario, id: ReportId) -> Option<ClaimedReport> {
    scenario.db.run("test", scenario.organization, async |tx| reports::claim(tx, id, LEASE).await).await.unwrap()
}

async fn complete(scenario: &Scenario, claimed: &ClaimedReport) -> Result<(), StoreError> {
    let document = Document { size_bytes: 1_234, sha256: "ab".repeat(32) };
    let warnings = ["Another.".to_owned()];
    scenario
        .db
        .run("test", scenario.organization, async |tx| {
            reports::complete(tx, claimed.fence, document, &warnings, now()).await
        })
        .await
}

async fn expire(scenario: &Scenario) {
    assert_eq!(scenario.execute("UPDATE reports SET lease_until = now() - interval '1 second'").await, 1);
}

/// A report of one scan that waits.
async fn waiting(scenario: &Scenario) -> NewReport {
    let scan = scenario.create(1).await;
    let new = new_report(scenario, &[scan.id]);
    assert_eq!(create(scenario, &new).await, Some(CreatedReport { number: 1 }));
    new
}

#[tokio::test]
async fn a_report_goes_from_its_request_to_its_document() {
    let scenario = Scenario::new().await;
    let new = waiting(&scenario).await;
    let claimed = claim(&scenario, new.id).await.unwrap();
    assert_eq!((claimed.fence.attempt, claimed.failures, claimed.number), (1, 0, 1));
    assert_eq!((&claimed.request, &claimed.warnings), (&new.request, &new.warnings));
    complete(&scenario, &claimed).await.unwrap();

    let find = async |tx: &picket_store::Tx<'_>| read::find(tx, new.id).await;
    let record = scenario.db.run("test", scenario.organization, find).await.unwrap().unwrap();
    let document = Document { size_bytes: 1_234, sha256: "ab".repeat(32) };
    assert_eq!(record.report.state, ReportState::Done { attempt: 1, document, ended_at: now() });
    assert_eq!(record.warnings, ["The logo could not be fetched.", "Another."]);
    assert_eq!(scenario.public_events().await, ["scan.created", "report.generated"]);
}

#[tokio::test]
async fn the_request_wakes_a_renderer() {
    let scenario = Scenario::new().await;
    waiting(&scenario).await;
    let sql = "SELECT count(*) FROM events WHERE routing_key = 'report.requested'";
    assert_eq!(scenario.row(sql, &[]).await.get::<_, i64>(0), 1);
}

#[tokio::test]
async fn a_report_is_claimed_once_while_its_lease_holds() {
    let scenario = Scenario::new().await;
    let new = waiting(&scenario).await;
    assert!(claim(&scenario, new.id).await.is_some());
    assert!(claim(&scenario, new.id).await.is_none());
}

#[tokio::test]
async fn a_renderer_that_lost_its_lease_changes_nothing() {
    let scenario = Scenario::new().await;
    let new = waiting(&scenario).await;
    let first = claim(&scenario, new.id).await.unwrap();
    expire(&scenario).await;
    let second = claim(&scenario, new.id).await.unwrap();
    assert_eq!((second.fence.attempt, second.failures), (2, 1));

    assert!(matches!(complete(&scenario, &first).await, Err(StoreError::Stale { .. })));
    let run = async |tx: &picket_store::Tx<'_>| {
        let renewed = reports::renew(tx, first.fence, LEASE).await?;
        let failed = reports::fail(tx, first.fence, "late", now()).await;
        let back = reports::hand_back(tx, first.fence, HandBack::Failed).await;
        Ok::<_, StoreError>((renewed, failed.is_err(), back.is_err()))
    };
    assert_eq!(scenario.db.run("test", scenario.organization, run).await.unwrap(), (false, true, true));
    complete(&scenario, &second).await.unwrap();
    assert_eq!(scenario.public_events().await, ["scan.created", "report.generated"]);
}

#[tokio::test]
async fn an_interruption_is_not_a_failure() {
    let scenario = Scenario::new().await;
    let new = waiting(&scenario).await;
    for (why, failures) in [(HandBack::Interrupted, 0), (HandBack::Failed, 1)] {
        let claimed = claim(&scenario, new.id).await.unwrap();
        let back = async |tx: &picket_store::Tx<'_>| reports::hand_back(tx, claimed.fence, why).await;
        scenario.db.run("test", scenario.organization, back).await.unwrap();
        assert_eq!(scenario.row("SELECT failures FROM reports", &[]).await.get::<_, i32>(0), failures);
    }
}

#[tokio::test]
async fn a_report_that_failed_tells_why_and_stays_failed() {
    let scenario = Scenario::new().await;
    let new = waiting(&scenario).await;
    let claimed = claim(&scenario, new.id).await.unwrap();
    let fail = async |tx: &picket_store::Tx<'_>| reports::fail(tx, claimed.fence, "too large", now()).await;
    scenario.db.run("test", scenario.organization, fail).await.unwrap();
    assert!(claim(&scenario, new.id).await.is_none());
    assert!(matches!(complete(&scenario, &claimed).await, Err(StoreError::Stale { .. })));
    let find = async |tx: &picket_store::Tx<'_>| read::find_by_number(tx, 1).await;
    let record = scenario.db.run("test", scenario.organization, find).await.unwrap().unwrap();
    assert_eq!(record.report.state, ReportState::Failed { ended_at: now(), reason: "too large".to_owned() });
}

#[tokio::test]
async fn what_no_renderer_is_at_is_overdue() {
    let scenario = Scenario::new().await;
    let new = waiting(&scenario).await;
    let overdue = async |grace: u64| {
        let grace = Duration::from_secs(grace);
        scenario.db.operate("test", async |tx| reports::overdue(tx, grace, 10).await).await.unwrap()
    };
    assert_eq!(overdue(1).await, [(scenario.organization, new.id)], "it was asked for long ago");
    assert_eq!(overdue(4_000_000_000).await, []);
    claim(&scenario, new.id).await.unwrap();
    assert_eq!(overdue(1).await, []);
    expire(&scenario).await;
    assert_eq!(overdue(4_000_000_000).await, [(scenario.organization, new.id)]);
}

#[tokio::test]
async fn a_report_of_a_foreign_scan_is_not_made() {
    let scenario = Scenario::new().await;
    let scan = scenario.create(1).await;
    let other = seed::organization(&scenario.database, picket_domain::Subscription::Trial).await;
    let mut new = new_report(&scenario, &[scan.id]);
    new.organization_id = other;
    assert_eq!(create(&scenario, &new).await, None);
    let unknown = new_report(&scenario, &[scan.id, ScanId::mint(now())]);
    assert_eq!(create(&scenario, &unknown).await, None);
    assert_eq!(scenario.row("SELECT count(*) FROM reports", &[]).await.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_foreign_report_is_not_seen() {
    let scenario = Scenario::new().await;
    let new = waiting(&scenario).await;
    let other = seed::organization(&scenario.database, picket_domain::Subscription::Trial).await;
    let look = async |tx: &picket_store::Tx<'_>| {
        let range = Range { limit: 10, offset: 0 };
        let claimed = reports::claim(tx, new.id, LEASE).await?.is_some();
        let found = read::find(tx, new.id).await?.is_some() || read::find_by_number(tx, 1).await?.is_some();
        Ok::<_, StoreError>((claimed, found, read::list(tx, range).await?.total))
    };
    assert_eq!(scenario.db.run("test", other, look).await.unwrap(), (false, false, 0));
    let page = scenario.db.run("test", scenario.organization, look).await.unwrap();
    assert_eq!(page, (true, true, 1));
}

#[tokio::test]
async fn a_finding_that_two_scans_saw_is_in_a_report_once() {
    let scenario = Scenario::new().await;
    let mut scans = Vec::new();
    for worse in [Severity::Low, Severity::High] {
        let (scan, _, task) = scenario.running().await;
        let found = [observation(80, worse), observation(81, Severity::Info), observation(82, Severity::Critical)];
        let run = RunRecord::default();
        let end = async |tx: &picket_store::Tx<'_>| tasks::complete(tx, &task, &found, &run, now()).await;
        scenario.db.run("test", scenario.organization, end).await.unwrap();
        scans.push(scan.id);
    }
    let load = async |limits| {
        let load = async |tx: &picket_store::Tx<'_>| content::load(tx, scenario.organization, &scans, limits).await;
        scenario.db.run("test", scenario.organization, load).await.unwrap()
    };
    let said = load(LIMITS).await;
    assert_eq!((said.counts.critical, said.counts.high, said.counts.low, said.counts.info), (1, 1, 0, 1));
    let ports: Vec<_> = said.findings.iter().map(|entry| entry.finding.location.port).collect();
    assert_eq!(ports, [Some(82), Some(80), Some(81)], "worst first");
    let mut seen = said.findings[0].seen_in.clone();
    seen.sort();
    assert_eq!((seen, said.organization_name.as_str()), (scans.clone(), "Acme"));
    assert!(said.scans.iter().all(|scan| scan.coverage.len() == 1));

    let few = load(content::ContentLimits { findings: 2, ..LIMITS }).await;
    assert_eq!((few.findings.len(), few.counts.total()), (2, 3));
    let short = load(content::ContentLimits { text_bytes: 30, ..LIMITS }).await;
    assert_eq!((short.findings.len(), short.counts.total()), (1, 3), "the sum of the texts is bounded");
}
