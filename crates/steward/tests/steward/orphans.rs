//! Documents that no row names: which go, and that nothing else does.

use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};
use picket_blobs::{BlobKey, Blobs};
use picket_domain::{ArtifactId, AvatarId, OrganizationId, ReportFormat, ReportId, UserId};
use picket_kit::Clock;
use picket_steward::Orphans;

use crate::stage::{Stage, store};

async fn put(blobs: &Blobs, key: BlobKey) -> BlobKey {
    blobs.put(&key, bytes::Bytes::from_static(b"x")).await.unwrap();
    key
}

/// A row that names a raw output; it is being stored.
async fn row(stage: &Stage, id: ArtifactId) {
    let sql = "INSERT INTO artifacts (id, organization_id, scan_id, task_id, attempt, tool, kind, created_at, size_bytes, sha256, is_cut)
               VALUES ($1, $2, gen_random_uuid(), gen_random_uuid(), 1, 'nmap', 'output', now(), 1, '', false)";
    let client = stage.database.connect().await;
    client.execute(sql, &[&id.uuid(), &stage.organization.uuid()]).await.unwrap();
}

#[tokio::test]
async fn what_no_row_names_goes_after_a_day_and_nothing_else_does() {
    let (stage, (folder, blobs)) = (Stage::new().await, store());
    let written = Timestamp::try_from(SystemTime::now()).unwrap();
    let (own, stranger) = (stage.organization, OrganizationId::mint(written));
    let user = UserId::mint(written);
    let (current, previous) = (AvatarId::mint(written), AvatarId::mint(written));
    let sql = "INSERT INTO users (id, created_at, email, name, password_hash, avatar) VALUES ($1, now(), 'a@b.c', 'A', 'x', $2)";
    stage.database.connect().await.execute(sql, &[&user.uuid(), &current.to_string()]).await.unwrap();
    let (named, late) = (ArtifactId::mint(written), ArtifactId::mint(written));
    row(&stage, named).await;
    let kept = [
        put(&blobs, BlobKey::artifact(own, named)).await,
        put(&blobs, BlobKey::avatar(user, current)).await,
        // Of whom this database knows nothing.
        put(&blobs, BlobKey::artifact(stranger, ArtifactId::mint(written))).await,
        put(&blobs, BlobKey::report(stranger, ReportId::mint(written), 1, ReportFormat::Pdf)).await,
        put(&blobs, BlobKey::avatar(UserId::mint(written), AvatarId::mint(written))).await,
        put(&blobs, BlobKey::artifact(own, late)).await,
    ];
    let report = ReportId::mint(written);
    let gone = [
        put(&blobs, BlobKey::artifact(own, ArtifactId::mint(written))).await,
        put(&blobs, BlobKey::avatar(user, previous)).await,
        put(&blobs, BlobKey::report(own, report, 2, ReportFormat::Html)).await,
        put(&blobs, BlobKey::report_logo(own, report)).await,
    ];
    let foreign = folder.path().join("artifacts").join("notes.txt");
    std::fs::write(&foreign, "somebody's").unwrap();

    let young = Clock::fixed(written + SignedDuration::from_hours(23));
    let orphans = Orphans::new(stage.db.clone(), blobs.clone(), young.clone());
    assert_eq!(orphans.sweep().await.unwrap(), (0, false));
    young.advance(SignedDuration::from_hours(2));
    assert_eq!(orphans.sweep().await.unwrap(), (0, false), "it looks once a day");
    row(&stage, late).await;
    let old = Clock::fixed(written + SignedDuration::from_hours(25));
    let two = [0, 1].map(|_| Orphans::new(stage.db.clone(), blobs.clone(), old.clone()));
    let (one, other) = tokio::join!(two[0].sweep(), two[1].sweep());
    assert!(one.unwrap().0 + other.unwrap().0 >= 4, "both may delete the same, which is no error");
    for key in &gone {
        assert!(blobs.head(key).await.is_err(), "{key}");
    }
    for key in &kept {
        assert!(blobs.head(key).await.is_ok(), "{key}");
    }
    assert!(foreign.exists());
}

#[tokio::test]
async fn a_round_looks_at_a_part_and_the_next_one_goes_on() {
    let (stage, (_folder, blobs)) = (Stage::new().await, store());
    let written = Timestamp::try_from(SystemTime::now()).unwrap();
    for _ in 0..501 {
        put(&blobs, BlobKey::artifact(stage.organization, ArtifactId::mint(written))).await;
    }
    let clock = Clock::fixed(written + SignedDuration::from_hours(25));
    let orphans = Orphans::new(stage.db.clone(), blobs, clock);
    assert_eq!(orphans.sweep().await.unwrap(), (500, true));
    assert_eq!(orphans.sweep().await.unwrap(), (1, false));
}
