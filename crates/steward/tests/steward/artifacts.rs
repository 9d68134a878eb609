//! Raw outputs: which go, and that no document is left whose row is gone.

use jiff::SignedDuration;
use picket_blobs::{BlobKey, Blobs};
use picket_domain::{ArtifactId, OrganizationId, Subscription};
use picket_steward::Artifacts;
use picket_testkit::seed;

use crate::stage::{Stage, store};

/// A document of so many minutes ago, in that state.
async fn artifact(stage: &Stage, blobs: &Blobs, organization: OrganizationId, minutes: i64, state: &str) -> BlobKey {
    let at = stage.clock.now().saturating_sub(SignedDuration::from_mins(minutes)).unwrap();
    let id = ArtifactId::mint(at);
    let sql =
        "INSERT INTO artifacts (id, organization_id, scan_id, task_id, attempt, tool, kind, created_at, size_bytes,
                                      sha256, is_cut, state, stored_bytes)
               VALUES ($1, $2, gen_random_uuid(), gen_random_uuid(), 1, 'nmap', 'output', $3, 1, '', false, $4,
                       CASE WHEN $4 = 'stored' THEN 1 END)";
    let client = stage.database.connect().await;
    client.execute(sql, &[&id.uuid(), &organization.uuid(), &at, &state]).await.unwrap();
    let key = BlobKey::artifact(organization, id);
    blobs.put(&key, bytes::Bytes::from_static(b"x")).await.unwrap();
    key
}

#[tokio::test]
async fn abandoned_doomed_and_aged_outputs_go_and_the_others_stay() {
    let (stage, (_folder, blobs)) = (Stage::new().await, store());
    let trial = seed::organization(&stage.database, Subscription::Trial).await;
    let suspended = seed::organization(&stage.database, Subscription::Trial).await;
    let sql = "UPDATE organizations SET suspended_at = now(), suspended_reason = 'x' WHERE id = $1";
    stage.database.connect().await.execute(sql, &[&suspended.uuid()]).await.unwrap();
    let (day, own) = (24 * 60, stage.organization);
    let kept = [
        artifact(&stage, &blobs, trial, 6 * day, "stored").await,
        artifact(&stage, &blobs, own, 8 * day, "stored").await,
        artifact(&stage, &blobs, own, 8 * day, "lost").await,
        artifact(&stage, &blobs, suspended, 8 * day, "stored").await,
        artifact(&stage, &blobs, own, 59, "storing").await,
        // Its worker may still be at it.
        artifact(&stage, &blobs, own, 4, "doomed").await,
    ];
    let gone = [
        artifact(&stage, &blobs, trial, 8 * day, "stored").await,
        artifact(&stage, &blobs, trial, 8 * day, "lost").await,
        artifact(&stage, &blobs, own, 61, "storing").await,
        artifact(&stage, &blobs, own, 6, "doomed").await,
    ];
    let sweeper = || Artifacts::new(stage.db.clone(), blobs.clone(), stage.clock.clone());
    let (one, other) = (sweeper(), sweeper());
    let (first, second) = tokio::join!(one.sweep(), other.sweep());
    let third = one.sweep().await.unwrap();
    assert_eq!((first.unwrap().0 + second.unwrap().0 + third.0, third.1), (4, false));
    for key in &kept {
        assert!(blobs.head(key).await.is_ok(), "{key}");
    }
    for key in &gone {
        assert!(blobs.head(key).await.is_err(), "{key}");
    }
    assert_eq!(stage.count("SELECT count(*) FROM artifacts").await, 6);
    // What went by its age is in the audit log of whoever had it, once.
    let said = "SELECT count(*) FROM audit_log WHERE action = 'results.removed' AND entry LIKE '%\"raw_outputs\":2%'";
    assert_eq!(stage.count(said).await, 1);
    assert_eq!(one.sweep().await.unwrap(), (0, false));
}

#[tokio::test]
async fn a_document_that_cannot_be_deleted_keeps_its_row_and_holds_up_no_other() {
    let (stage, (folder, blobs)) = (Stage::new().await, store());
    let stuck = artifact(&stage, &blobs, stage.organization, 90, "doomed").await;
    let path = folder.path().join(stuck.as_str());
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir_all(path.join("in the way")).unwrap();
    artifact(&stage, &blobs, stage.organization, 80, "doomed").await;
    let artifacts = Artifacts::new(stage.db.clone(), blobs.clone(), stage.clock.clone());
    assert_eq!(artifacts.sweep().await.unwrap().0, 1);
    assert_eq!(stage.count("SELECT count(*) FROM artifacts").await, 1);
    std::fs::remove_dir_all(&path).unwrap();
    assert_eq!(artifacts.sweep().await.unwrap().0, 1);
}

#[tokio::test]
async fn a_small_output_goes_with_its_row_and_nobody_asks_for_a_document() {
    let (stage, (folder, blobs)) = (Stage::new().await, store());
    let key = artifact(&stage, &blobs, stage.organization, 6, "doomed").await;
    let client = stage.database.connect().await;
    client.execute("UPDATE artifacts SET stored_bytes = 1, content = 'x'", &[]).await.unwrap();
    drop(folder);
    let sweeper = Artifacts::new(stage.db.clone(), blobs.clone(), stage.clock.clone());
    assert_eq!(sweeper.sweep().await.unwrap(), (1, false));
    assert_eq!(stage.count("SELECT count(*) FROM artifacts").await, 0, "{key}");
}
