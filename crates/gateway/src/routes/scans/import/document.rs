//! An imported report as a document of its scan: compressed, in the object store, and gone with the outputs of runs. Whatever
//! fails here fails no import: what the report says is stored anyway.

use std::{
    fs::File,
    io::{self, Read, Seek},
    time::Duration,
};

use actix_web::web::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::{Stream, stream};
use picket_blobs::{BlobError, BlobKey};
use picket_domain::{ArtifactId, NewScan, cause};
use picket_store::{
    StoreError,
    artifacts::{self, ArtifactKind, Keep, NewArtifact},
    scans::import::claimed,
};

use crate::{App, body::Spool};

/// How long the object store may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes that are on their way to it at once.
const PART: u64 = 256 * 1024;

/// Why a report is not kept.
#[derive(Debug, thiserror::Error)]
enum NotKept {
    #[error("the report could not be compressed")]
    Io(#[from] io::Error),
    #[error("the document could not be named")]
    Store(#[from] StoreError),
    #[error("the object store refused")]
    Blob(#[from] BlobError),
    #[error("the object store took too long")]
    Late,
}

/// Keeps the report of a scan that is about to be stored. What is returned is to be said in the transaction that stores it; a
/// document of which nothing is said is swept.
pub(super) async fn keep(app: &App, new: &NewScan, file: Spool, sha256: &str) -> Option<Keep> {
    match try_to_keep(app, new, file, sha256).await {
        Ok(kept) => kept,
        Err(error) => {
            metrics::counter!("picket_artifacts_lost_total").increment(1);
            tracing::warn!(error = cause(&error), "an imported report is not kept");
            None
        }
    }
}

async fn try_to_keep(app: &App, new: &NewScan, file: Spool, sha256: &str) -> Result<Option<Keep>, NotKept> {
    let Some(task) = new.tasks.first().map(|task| claimed(new, task)) else { return Ok(None) };
    let now = app.clock.now();
    let id = ArtifactId::mint(now);
    let document = NewArtifact {
        id,
        kind: ArtifactKind::Import,
        size_bytes: i64::try_from(file.size_bytes()).unwrap_or(i64::MAX),
        sha256: sha256.to_owned(),
        is_cut: false,
    };
    let (file, size_bytes) =
        tokio::task::spawn_blocking(move || compressed(file)).await.map_err(io::Error::other)??;
    // Before the document, so that it is found again whatever becomes of us.
    let begin = async |tx: &picket_store::Tx<'_>| artifacts::begin(tx, &task, &document, now).await;
    app.db.run("begin_artifact", new.organization_id, begin).await?;
    let key = BlobKey::artifact(new.organization_id, id);
    let put = app.blobs.put_stream(&key, Box::pin(parts(file)), size_bytes);
    tokio::time::timeout(PATIENCE, put).await.map_err(|_| NotKept::Late)??;
    Ok(Some(Keep { id, stored_bytes: Some(i64::try_from(size_bytes).unwrap_or(i64::MAX)) }))
}

/// The report, compressed, in a file without a name. Blocks.
fn compressed(file: Spool) -> io::Result<(File, u64)> {
    let mut packer = GzEncoder::new(tempfile::tempfile()?, Compression::fast());
    io::copy(&mut file.into_reader()?, &mut packer)?;
    let mut file = packer.finish()?;
    let size_bytes = file.stream_position()?;
    file.rewind()?;
    Ok((file, size_bytes))
}

/// The file in parts, each read on a thread that may block.
fn parts(file: File) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(file, |mut file| async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut part = Vec::new();
            Read::by_ref(&mut file).take(PART).read_to_end(&mut part).map(|_| (part, file))
        });
        let (part, file) = read.await.map_err(io::Error::other)??;
        Ok((!part.is_empty()).then(|| (Bytes::from(part), file)))
    })
}
