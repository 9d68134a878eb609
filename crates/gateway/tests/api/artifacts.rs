//! Raw outputs: who gets links, what a link opens and for how long, and how the file leaves.

use jiff::SignedDuration;
use picket_blobs::{BlobKey, BlobSettings, Blobs};
use picket_domain::{ArtifactId, OrganizationId};
use picket_kit::Clock;
use picket_store::{
    StoreError,
    artifacts::{self, ArtifactKind, Keep, Kept, NewArtifact},
};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Member, TestApp},
    scans::allow_example,
    streams::{Worker, member, running},
};

/// What stands for a compressed page of a scanned host.
const FILE: &[u8] = b"<script>alert(1)</script>";

/// A raw output of the worker's run; one that was lost when there is no file.
async fn keep(app: &TestApp, worker: &Worker, file: Option<&[u8]>) -> ArtifactId {
    // Ids of one moment have no order.
    app.clock.advance(SignedDuration::from_secs(1));
    let (id, task, now) = (ArtifactId::mint(app.clock.now()), &worker.task, app.clock.now());
    let blobs = Blobs::open(&BlobSettings::Folder { path: app.folder.path().to_owned() }).unwrap();
    let new = NewArtifact { id, kind: ArtifactKind::Output, size_bytes: 99, sha256: "ab".to_owned(), is_cut: false };
    let kept = Keep { id, stored_bytes: file.map(|file| i64::try_from(file.len()).unwrap()) };
    if let Some(file) = file {
        blobs.put(&BlobKey::artifact(task.organization_id, id), file.to_vec().into()).await.unwrap();
    }
    worker
        .db
        .run("test", task.organization_id, async |tx| {
            artifacts::begin(tx, task, &new, now).await?;
            artifacts::keep(tx, &kept).await?;
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    id
}

/// The artifacts of a scan.
async fn list(app: &TestApp, member: &Member, id: &str) -> Vec<Value> {
    let answer = app.get(&format!("/api/v1/scan/{id}/artifacts"), Some(&member.token)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["data"].as_array().unwrap().clone()
}

/// The path and query of a link; the gateway of a test does not know its port when it makes one.
fn path(artifact: &Value) -> String {
    let url = artifact["url"].as_str().unwrap_or_else(|| panic!("{artifact}"));
    url[url.find("/api/").unwrap()..].to_owned()
}

async fn download(app: &TestApp, path: &str, range: Option<&str>) -> Answer {
    app.request("GET", path, None, |request| match range {
        Some(range) => request.header("range", range),
        None => request,
    })
    .await
}

async fn begin() -> (TestApp, Member, String, Vec<Worker>) {
    let clock = Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap());
    let app = TestApp::spawn_at(clock, allow_example).await;
    let member = member(&app).await;
    let (id, workers) = running(&app, &member, 1).await;
    (app, member, id, workers)
}

#[tokio::test]
async fn a_link_opens_its_file_as_an_attachment_for_a_quarter_of_an_hour() {
    let (app, member, scan, workers) = begin().await;
    let id = keep(&app, &workers[0], Some(FILE)).await;
    let lost = keep(&app, &workers[0], None).await;
    let listed = list(&app, &member, &scan).await;
    assert_eq!(
        listed.iter().map(|one| one["id"].as_str().unwrap()).collect::<Vec<_>>(),
        [id.to_string(), lost.to_string()]
    );
    assert_eq!(
        (&listed[0]["tool"], &listed[0]["attempt"], &listed[0]["size_bytes"]),
        (&json!("nmap"), &json!(1), &json!(99))
    );
    assert_eq!(
        (&listed[1]["url"], &listed[1]["stored_bytes"]),
        (&Value::Null, &Value::Null),
        "it says that it was lost"
    );

    let path = path(&listed[0]);
    let answer = download(&app, &path, None).await;
    assert_eq!((answer.status, answer.text.as_bytes()), (200, FILE));
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("cache-control", "private, no-store"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert!(answer.header("content-disposition").unwrap().starts_with("attachment; filename=\"task_"));
    let part = download(&app, &path, Some("bytes=1-6")).await;
    assert_eq!((part.status, part.text.as_str(), part.header("content-range")), (206, "script", Some("bytes 1-6/25")));
    download(&app, &path, Some("bytes=25-")).await.assert_problem(416, "range_not_satisfiable");

    app.clock.advance(SignedDuration::from_secs(15 * 60 - 1));
    assert_eq!(download(&app, &path, None).await.status, 200);
    app.clock.advance(SignedDuration::from_secs(1));
    download(&app, &path, None).await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn a_small_output_is_downloaded_from_its_row_like_any_other() {
    let (app, member, scan, workers) = begin().await;
    let (task, now) = (&workers[0].task, app.clock.now());
    let id = ArtifactId::mint(now);
    let new = NewArtifact { id, kind: ArtifactKind::Output, size_bytes: 99, sha256: "ab".to_owned(), is_cut: false };
    let kept = Kept::Small { new, content: FILE.to_vec() };
    let leave = async |tx: &picket_store::Tx<'_>| artifacts::leave(tx, task, &kept, now).await;
    assert!(workers[0].db.run("test", task.organization_id, leave).await.unwrap());
    let listed = list(&app, &member, &scan).await;
    assert_eq!((&listed[0]["id"], &listed[0]["stored_bytes"]), (&json!(id.to_string()), &json!(FILE.len())));
    let path = path(&listed[0]);
    let whole = download(&app, &path, None).await;
    assert_eq!((whole.status, whole.text.as_bytes()), (200, FILE));
    let part = download(&app, &path, Some("bytes=1-6")).await;
    assert_eq!((part.status, part.text.as_str(), part.header("content-range")), (206, "script", Some("bytes 1-6/25")));
    download(&app, &path, Some("bytes=25-")).await.assert_problem(416, "range_not_satisfiable");
}

#[tokio::test]
async fn a_link_that_was_changed_opens_nothing() {
    let (app, member, scan, workers) = begin().await;
    let id = keep(&app, &workers[0], Some(FILE)).await;
    let other = keep(&app, &workers[0], Some(b"other")).await;
    let good = path(&list(&app, &member, &scan).await[0]);
    let stranger = app.member("eve@example.com").await;
    let (base, signature) = good.rsplit_once('=').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    for changed in [
        good.replace(&id.to_string(), &other.to_string()),
        good.replace(&member.organization_id, &stranger.organization_id),
        good.replace("&expires=1", "&expires=2"),
        format!("{base}="),
        format!("{base}={flipped}{}", &signature[1..]),
        format!("{base}=%00%ff"),
    ] {
        assert_ne!(changed, good);
        let answer = download(&app, &changed, None).await;
        assert!([400, 404].contains(&answer.status), "{changed}: {}", answer.text);
        assert!(!answer.text.contains("script") && !answer.text.contains("other"));
    }
    assert_eq!(download(&app, &format!("{good}&x=1"), None).await.status, 400);
    assert_eq!(download(&app, &good, None).await.status, 200);
}

#[tokio::test]
async fn only_whoever_may_read_the_scan_gets_links_and_a_deleted_scan_has_none() {
    let (app, member, scan, workers) = begin().await;
    keep(&app, &workers[0], Some(FILE)).await;
    let list_path = format!("/api/v1/scan/{scan}/artifacts");
    let stranger = app.member("eve@example.com").await;
    app.get(&list_path, Some(&stranger.token)).await.assert_problem(404, "not_found");
    let key = app.api_key(&member.token, &["reports:read"]).await;
    app.get(&list_path, Some(&key)).await.assert_problem(403, "forbidden");
    let good = path(&list(&app, &member, &scan).await[0]);
    workers[0].complete().await;
    assert_eq!(app.delete(&format!("/api/v1/scan/{scan}"), Some(&member.token)).await.status, 204);
    download(&app, &good, None).await.assert_problem(404, "not_found");
    // The steward takes the file away, and then the row that names it.
    let rows = app.database.connect().await.query("SELECT state, organization_id FROM artifacts", &[]).await.unwrap();
    let left: Vec<(String, String)> =
        rows.iter().map(|row| (row.get(0), OrganizationId::from_uuid(row.get(1)).to_string())).collect();
    assert_eq!(left, [("doomed".to_owned(), member.organization_id.clone())]);
}
