//! What a real run leaves beside its findings: the lines that followed it, and its output as the tool printed it.

use std::{fs::File, io::Read, path::Path};

use flate2::read::GzDecoder;
use picket_domain::{ArtifactId, OrganizationId};
use sha2::{Digest, Sha256};

use crate::{
    process::eventually,
    service::Service,
    stage::{LONG, Stage},
};

const LINES: &str = "SELECT coalesce(string_agg(line ->> 'kind', ' ' ORDER BY number), '') FROM output_lines";
const ARTIFACTS: &str = "SELECT id, organization_id, state, size_bytes, sha256, stored_bytes FROM artifacts";

/// Nothing stays in its row.
fn blobs(folder: &Path) -> [(&'static str, &str); 4] {
    [
        ("PICKET_WORKER__SLOTS", "1"),
        ("PICKET_WORKER__ARTIFACT_ROW_BYTES", "0"),
        ("PICKET_BLOBS__KIND", "folder"),
        ("PICKET_BLOBS__PATH", folder.to_str().unwrap()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_told_while_it_goes_on_and_its_output_is_kept_as_it_was_printed() {
    let (stage, service, folder) = (Stage::new().await, Service::silent(), tempfile::tempdir().unwrap());
    let _steward = stage.start("steward", &[]);
    let _worker = stage.start_worker(221_000, &blobs(folder.path()));
    let scan = stage.scan(&service).await;
    let told = async || (stage.row(LINES, &[]).await.get::<_, String>(0) == "started").then_some(());
    eventually("a line of a tool that runs", LONG, told).await;
    assert_eq!(stage.state(&scan).await, "running");
    service.speak();
    stage.await_state(&scan, "completed").await;
    let lines: String = stage.row(LINES, &[]).await.get(0);
    assert!(lines.starts_with("started observation") && lines.ends_with(" ended"), "{lines}");

    let row = stage.row(ARTIFACTS, &[]).await;
    let (id, organization) = (ArtifactId::from_uuid(row.get(0)), OrganizationId::from_uuid(row.get(1)));
    assert_eq!(row.get::<_, String>(2), "stored");
    let file = File::open(folder.path().join(format!("artifacts/{organization}/{id}.gz"))).unwrap();
    assert_eq!(row.get::<_, i64>(5), i64::try_from(file.metadata().unwrap().len()).unwrap());
    let mut output = Vec::new();
    GzDecoder::new(file).read_to_end(&mut output).unwrap();
    assert_eq!(row.get::<_, i64>(3), i64::try_from(output.len()).unwrap());
    let sha256: String = Sha256::digest(&output).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(row.get::<_, String>(4), sha256);
    let text = String::from_utf8(output).unwrap();
    assert!(text.contains("<nmaprun") && text.trim_end().ends_with("</nmaprun>"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_takes_no_output_fails_no_task() {
    let (stage, service, folder) = (Stage::new().await, Service::quick(), tempfile::tempdir().unwrap());
    // Where the folder of raw outputs would be.
    std::fs::write(folder.path().join("artifacts"), "in the way").unwrap();
    let _steward = stage.start("steward", &[]);
    let _worker = stage.start_worker(222_000, &blobs(folder.path()));
    let scan = stage.scan(&service).await;
    stage.await_state(&scan, "completed").await;
    stage.assert_completed_once(&scan, 1).await;
    let row = stage.row(ARTIFACTS, &[]).await;
    assert_eq!((row.get::<_, String>(2), row.get::<_, Option<i64>>(5)), ("lost".to_owned(), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_output_is_kept_in_its_row_as_it_was_printed_and_makes_no_document() {
    let (stage, service, folder) = (Stage::new().await, Service::quick(), tempfile::tempdir().unwrap());
    let _steward = stage.start("steward", &[]);
    let settings = blobs(folder.path())
        .map(|(name, value)| if name == "PICKET_WORKER__ARTIFACT_ROW_BYTES" { (name, "8192") } else { (name, value) });
    let _worker = stage.start_worker(223_000, &settings);
    let scan = stage.scan(&service).await;
    stage.await_state(&scan, "completed").await;
    let row = stage.row("SELECT state, size_bytes, sha256, content FROM artifacts", &[]).await;
    assert_eq!(row.get::<_, String>(0), "stored");
    let mut output = Vec::new();
    GzDecoder::new(row.get::<_, &[u8]>(3)).read_to_end(&mut output).unwrap();
    assert_eq!(row.get::<_, i64>(1), i64::try_from(output.len()).unwrap());
    let sha256: String = Sha256::digest(&output).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(row.get::<_, String>(2), sha256);
    assert!(String::from_utf8(output).unwrap().trim_end().ends_with("</nmaprun>"));
    assert!(!folder.path().join("artifacts").exists(), "there is no document");
}
