//! The object store in a folder, as `make run` uses it.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use picket_blobs::{BlobError, BlobKey, BlobSettings, Blobs};
use picket_domain::{OrganizationId, ReportFormat};
use tempfile::TempDir;

fn open() -> (TempDir, Blobs) {
    let folder = tempfile::tempdir().unwrap();
    let settings = BlobSettings::Folder { path: folder.path().join("made").join("here") };
    let blobs = Blobs::open(&settings).unwrap();
    (folder, blobs)
}

fn organization() -> OrganizationId {
    "org_00000000000000000000000001".parse().unwrap()
}

fn key() -> BlobKey {
    BlobKey::report(organization(), "rep_0000000000000000000000000a".parse().unwrap(), 1, ReportFormat::Pdf)
}

async fn read(blobs: &Blobs, range: Option<std::ops::Range<u64>>) -> Result<(u64, Vec<u8>), BlobError> {
    let found = blobs.stream(&key(), range).await?;
    let parts: Vec<Bytes> = found.bytes.try_collect().await?;
    Ok((found.meta.size_bytes, parts.concat()))
}

#[tokio::test]
async fn what_was_put_comes_back_whole_and_in_ranges() {
    let (_folder, blobs) = open();
    let put = blobs.put(&key(), Bytes::from_static(b"0123456789")).await.unwrap();
    assert_eq!(put.size_bytes, 10);
    assert_eq!(blobs.head(&key()).await.unwrap(), put);
    assert!(put.etag.is_some_and(|etag| !etag.contains('"')));
    assert_eq!(blobs.get(&key(), 10).await.unwrap(), "0123456789");
    assert_eq!(read(&blobs, None).await.unwrap(), (10, b"0123456789".to_vec()));
    assert_eq!(read(&blobs, Some(2..5)).await.unwrap(), (10, b"234".to_vec()));
    assert_eq!(read(&blobs, Some(8..99)).await.unwrap(), (10, b"89".to_vec()));
}

#[tokio::test]
async fn a_range_outside_the_object_is_refused_with_its_size() {
    let (_folder, blobs) = open();
    blobs.put(&key(), Bytes::from_static(b"0123456789")).await.unwrap();
    for range in [10..11, 99..100, 4..4] {
        assert!(matches!(read(&blobs, Some(range)).await, Err(BlobError::Range { size_bytes: 10 })));
    }
}

#[tokio::test]
async fn a_second_put_replaces_the_first() {
    let (_folder, blobs) = open();
    blobs.put(&key(), Bytes::from_static(b"old and long")).await.unwrap();
    blobs.put(&key(), Bytes::from_static(b"new")).await.unwrap();
    assert_eq!(blobs.get(&key(), 100).await.unwrap(), "new");
}

#[tokio::test]
async fn a_deleted_object_is_gone_and_may_be_deleted_again() {
    let (_folder, blobs) = open();
    blobs.put(&key(), Bytes::from_static(b"x")).await.unwrap();
    blobs.delete(&key()).await.unwrap();
    blobs.delete(&key()).await.unwrap();
    assert!(matches!(blobs.get(&key(), 10).await, Err(BlobError::NotFound { .. })));
    assert!(matches!(blobs.head(&key()).await, Err(BlobError::NotFound { .. })));
    assert!(matches!(read(&blobs, Some(0..1)).await, Err(BlobError::NotFound { .. })));
}

#[tokio::test]
async fn a_stream_is_stored_while_it_arrives() {
    let (_folder, blobs) = open();
    let parts = (0_u8..40).map(|part| Ok::<_, Infallible>(Bytes::from(vec![part; 400_000])));
    let put = blobs.put_stream(&key(), stream::iter(parts), 16_000_000).await.unwrap();
    assert_eq!(put.size_bytes, 16_000_000);
    let stored = blobs.get(&key(), 16_000_000).await.unwrap();
    assert_eq!((stored.len(), stored[0], stored[15_999_999]), (16_000_000, 0, 39));
}

#[tokio::test]
async fn a_stream_that_breaks_off_or_is_too_large_leaves_nothing() {
    let (folder, blobs) = open();
    let broken = [Ok(Bytes::from_static(b"half")), Err(std::io::Error::other("gone"))];
    assert!(matches!(blobs.put_stream(&key(), stream::iter(broken), 100).await, Err(BlobError::Source(_))));
    let large = [Ok::<_, Infallible>(Bytes::from_static(b"0123456789"))];
    let refused = blobs.put_stream(&key(), stream::iter(large), 9).await;
    assert!(matches!(refused, Err(BlobError::TooLarge { limit_bytes: 9 })));
    assert!(matches!(blobs.head(&key()).await, Err(BlobError::NotFound { .. })));
    let left = walk(folder.path());
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_document_larger_than_wanted_is_not_read() {
    let (_folder, blobs) = open();
    blobs.put(&key(), Bytes::from_static(b"0123456789")).await.unwrap();
    assert!(matches!(blobs.get(&key(), 9).await, Err(BlobError::TooLarge { limit_bytes: 9 })));
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let settings = BlobSettings::Folder { path: file.path().join("below-a-file") };
    let error = Blobs::open(&settings).unwrap_err();
    assert!(error.to_string().contains("below-a-file"), "{error}");
}

#[test]
fn the_secret_of_a_bucket_is_not_printed() {
    let settings: BlobSettings = serde_json::from_value(serde_json::json!({
        "kind": "s3", "bucket": "reports", "endpoint": "http://127.0.0.1:9000", "allow_http": true,
        "access_key_id": "id", "secret_access_key": "hush-hush",
    }))
    .unwrap();
    assert!(!format!("{settings:?}").contains("hush-hush"));
    assert!(!format!("{:?}", Blobs::open(&settings).unwrap()).contains("hush-hush"));
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}
