//! The role on a real database and broker: a report is rendered on its message, and without one.

use std::time::Duration;

use picket_blobs::{BlobKey, BlobSettings, Blobs};
use picket_domain::{Branding, ReportFormat, ReportId, ReportRequest, ReportState, Subscription};
use picket_kit::{ChildCommand, Clock, Health, Shutdown};
use picket_queue::{Broker, BrokerSettings, Envelope, Message};
use picket_renderer::{Parts, RendererSettings, run};
use picket_store::{
    Db, DbSettings, Notice, events,
    reports::{self, NewReport, read},
    scans,
};
use picket_testkit::{Database, Namespace, seed};
use tempfile::TempDir;

use crate::documents;

/// A renderer's surroundings, with a scan that waits for its worker.
struct Stage {
    database: Database,
    db: Db,
    broker: Broker,
    blobs: Blobs,
    shutdown: Shutdown,
    scan: picket_domain::NewScan,
    _folder: TempDir,
}

impl Stage {
    async fn new() -> Self {
        let (database, names, folder) = (Database::new().await, Namespace::new(), tempfile::tempdir().unwrap());
        let settings = DbSettings { url: database.url(), max_connections: 8, wait: Duration::from_secs(30) };
        let db = Db::new(&settings).unwrap();
        let broker = Broker::new(BrokerSettings { url: names.url, prefix: names.prefix, name: "test".to_owned() });
        broker.declare().await.unwrap();
        let blobs = Blobs::open(&BlobSettings::Folder { path: folder.path().to_owned() }).unwrap();
        let scan = seed::scan(seed::organization(&database, Subscription::Trial).await, 1);
        let store = async |tx: &picket_store::Tx<'_>| scans::create(tx, &scan, Clock::system().now()).await;
        db.run("test", scan.organization_id, store).await.unwrap();
        Self { database, db, broker, blobs, shutdown: Shutdown::new(), scan, _folder: folder }
    }

    /// Asks for a report of the scan.
    async fn ask(&self, format: ReportFormat, logo_url: Option<&str>) -> ReportId {
        let now = Clock::system().now();
        let branding = Branding::parse(Some("Acme & Söhne"), logo_url).unwrap();
        let new = NewReport {
            id: ReportId::mint(now),
            organization_id: self.scan.organization_id,
            request: ReportRequest::parse(vec![self.scan.id], format, true, true, branding).unwrap(),
            warnings: Vec::new(),
            requested_by: "usr_test".to_owned(),
            traceparent: None,
        };
        let store = async |tx: &picket_store::Tx<'_>| reports::create(tx, &new, now).await;
        assert!(self.db.run("test", new.organization_id, store).await.unwrap().is_some());
        new.id
    }

    /// Publishes what waits for the relay.
    async fn relay(&self) {
        let waiting = self.db.operate("test", async |tx| events::claim(tx, 100).await).await.unwrap();
        let publisher = self.broker.publisher();
        for outgoing in waiting {
            let (id, body) = (outgoing.event.id.to_string(), Envelope::of(&outgoing.event).encode().unwrap());
            let message = Message { routing_key: &outgoing.routing_key, id: &id, body: &body };
            publisher.publish(&[message]).await.pop().unwrap().unwrap();
        }
    }

    /// Starts the role; it ends with `shutdown`.
    fn start(&self, settings: RendererSettings) -> tokio::task::JoinHandle<()> {
        let program = env!("CARGO_BIN_EXE_picket-render-pdf").into();
        let settings = RendererSettings { fonts_dir: documents::fonts_dir(), ..settings };
        let parts = Parts {
            db: self.db.clone(),
            broker: self.broker.clone(),
            blobs: self.blobs.clone(),
            pdf: ChildCommand { program, args: Vec::new() },
            clock: Clock::system(),
            health: Health::starting(),
        };
        tokio::spawn(run(settings, parts, self.shutdown.clone()))
    }

    /// Waits for the report's end.
    async fn ended(&self, id: ReportId) -> (ReportState, Vec<String>) {
        let mut notices = self.db.listen(Notice::Events);
        for _ in 0..200 {
            let find = async |tx: &picket_store::Tx<'_>| read::find(tx, id).await;
            let record = self.db.run("test", self.scan.organization_id, find).await.unwrap().unwrap();
            if record.report.state.is_final() {
                return (record.report.state, record.warnings);
            }
            notices.wait(Duration::from_millis(500)).await;
        }
        panic!("the report did not end");
    }

    async fn document(&self, id: ReportId, format: ReportFormat) -> Vec<u8> {
        let (ReportState::Done { attempt, document, .. }, _) = self.ended(id).await else {
            panic!("expected a document")
        };
        let key = BlobKey::report(self.scan.organization_id, id, attempt, format);
        let content = self.blobs.get(&key, 10_000_000).await.unwrap();
        assert_eq!(u64::try_from(content.len()).unwrap(), document.size_bytes);
        content.to_vec()
    }
}

#[tokio::test]
async fn a_report_is_rendered_on_its_message_in_every_format() {
    let stage = Stage::new().await;
    // Nothing is overdue within an hour: the message alone can be the cause.
    let role = stage.start(RendererSettings { grace_ms: 3_600_000, ..RendererSettings::default() });
    let mut asked = Vec::new();
    for format in ReportFormat::ALL {
        asked.push((format, stage.ask(format, None).await));
    }
    stage.relay().await;
    for (format, id) in asked {
        let document = stage.document(id, format).await;
        match format {
            ReportFormat::Pdf => assert!(document.starts_with(b"%PDF-")),
            ReportFormat::Html => assert!(String::from_utf8(document).unwrap().contains("Acme &amp; Söhne")),
            ReportFormat::Json => {
                let said: serde_json::Value = serde_json::from_slice(&document).unwrap();
                assert_eq!(said["scans"][0]["coverage_complete"], false, "the scan has not run yet");
                assert_eq!(said["counts"]["total"], 0);
            }
        }
    }
    stage.shutdown.stop();
    role.await.unwrap();
}

#[tokio::test]
async fn a_report_whose_message_was_lost_is_rendered_by_the_sweep() {
    let stage = Stage::new().await;
    let id = stage.ask(ReportFormat::Json, None).await;
    let role = stage.start(RendererSettings { grace_ms: 0, sweep_ms: 50, ..RendererSettings::default() });
    stage.document(id, ReportFormat::Json).await;
    stage.shutdown.stop();
    role.await.unwrap();
}

#[tokio::test]
async fn a_report_whose_renderer_died_is_rendered_by_another() {
    let stage = Stage::new().await;
    let id = stage.ask(ReportFormat::Html, None).await;
    let claim = async |tx: &picket_store::Tx<'_>| reports::claim(tx, id, Duration::from_secs(30)).await;
    assert!(stage.db.run("test", stage.scan.organization_id, claim).await.unwrap().is_some());
    let owner = stage.database.connect().await;
    owner.execute("UPDATE reports SET lease_until = now() - interval '1 second'", &[]).await.unwrap();
    let role = stage.start(RendererSettings { sweep_ms: 50, ..RendererSettings::default() });
    let (state, _) = stage.ended(id).await;
    assert!(matches!(state, ReportState::Done { attempt: 2, .. }), "{state:?}");
    stage.shutdown.stop();
    role.await.unwrap();
}

#[tokio::test]
async fn a_report_that_never_renders_fails_with_a_reason() {
    let stage = Stage::new().await;
    let id = stage.ask(ReportFormat::Pdf, None).await;
    let limits = RendererSettings { grace_ms: 0, sweep_ms: 50, pdf_memory_mib: 64, ..RendererSettings::default() };
    let role = stage.start(limits);
    let (state, _) = stage.ended(id).await;
    let ReportState::Failed { reason, .. } = state else { panic!("expected a failure, not {state:?}") };
    assert!(reason.starts_with("the PDF could not be typeset within its limits"), "{reason}");
    let owner = stage.database.connect().await;
    let row = owner.query_one("SELECT attempt, failures FROM reports", &[]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1)), (3, 2), "it was tried three times");
    stage.shutdown.stop();
    role.await.unwrap();
}

#[tokio::test]
async fn a_logo_that_is_no_picture_is_left_out_and_said() {
    let stage = Stage::new().await;
    let id = stage.ask(ReportFormat::Html, Some("https://example.com/logo.png")).await;
    let key = BlobKey::report_logo(stage.scan.organization_id, id);
    stage.blobs.put(&key, "<svg onload=alert(1)>".into()).await.unwrap();
    let role = stage.start(RendererSettings { grace_ms: 0, sweep_ms: 50, ..RendererSettings::default() });
    let page = String::from_utf8(stage.document(id, ReportFormat::Html).await).unwrap();
    let (_, warnings) = stage.ended(id).await;
    assert_eq!(warnings, ["The logo is left out: expected a PNG or JPEG picture."]);
    assert!(page.contains("expected a PNG or JPEG picture") && !page.contains("<svg onload"));
    stage.shutdown.stop();
    role.await.unwrap();
}

#[tokio::test]
async fn a_logo_that_was_fetched_is_shown() {
    let stage = Stage::new().await;
    let id = stage.ask(ReportFormat::Html, Some("https://example.com/logo.png")).await;
    let key = BlobKey::report_logo(stage.scan.organization_id, id);
    stage.blobs.put(&key, include_bytes!("logo.png").to_vec().into()).await.unwrap();
    let role = stage.start(RendererSettings { grace_ms: 0, sweep_ms: 50, ..RendererSettings::default() });
    let page = String::from_utf8(stage.document(id, ReportFormat::Html).await).unwrap();
    assert!(page.contains("data:image&#x2f;png;base64,") || page.contains("data:image/png;base64,"));
    stage.shutdown.stop();
    role.await.unwrap();
}
