//! What a tool printed, as it printed it: copied while the parser reads it, compressed into a file without a name, and given
//! to the object store when the run is over. At no time is all of it in memory, and whatever fails here fails no task.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::{Stream, stream};
use picket_blobs::{BlobError, BlobKey, Blobs};
use picket_domain::{ArtifactId, ClaimedTask};
use picket_kit::{Clock, Shutdown};
use picket_store::{
    Db, StoreError, Tx,
    artifacts::{self, ArtifactKind, Keep, NewArtifact},
};
use sha2::{Digest, Sha256};

use crate::patience::Patience;

/// How long taking a document away again may take.
const FAREWELL: Duration = Duration::from_secs(5);
/// Bytes that are on their way to it at once.
const PART: usize = 256 * 1024;

/// A copy of an output; clones are of the same run.
#[derive(Clone)]
pub(crate) struct Copied(Arc<Mutex<Spool>>);

struct Spool {
    most: u64,
    file: Option<GzEncoder<File>>,
    digest: Sha256,
    size_bytes: u64,
    is_cut: bool,
    failed: Option<io::Error>,
}

/// What was copied, at rest.
#[derive(Debug)]
struct Spooled {
    file: File,
    stored_bytes: u64,
    size_bytes: u64,
    sha256: String,
    is_cut: bool,
}

/// Reads the output and copies what it reads.
pub(crate) struct Tee<R> {
    output: R,
    copy: Copied,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.output.read(buffer)?;
        self.copy.spool().add(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl Copied {
    /// A copy of at most so many bytes.
    pub(crate) fn new(most: u64) -> Self {
        let spool = Spool { most, file: None, digest: Sha256::new(), size_bytes: 0, is_cut: false, failed: None };
        Self(Arc::new(Mutex::new(spool)))
    }

    /// Copies what is read of the output.
    pub(crate) fn tee<R: Read>(&self, output: R) -> Tee<R> {
        Tee { output, copy: self.clone() }
    }

    fn spool(&self) -> MutexGuard<'_, Spool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spool {
    fn add(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.most == 0 || self.failed.is_some() {
            return;
        }
        let room = usize::try_from(self.most.saturating_sub(self.size_bytes)).unwrap_or(usize::MAX);
        let kept = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.is_cut |= kept.len() < bytes.len();
        if let Err(error) = self.write(kept) {
            // What is half there is of no use, and its room is needed.
            self.file = None;
            self.failed = Some(error);
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(GzEncoder::new(tempfile::tempfile()?, Compression::fast())),
        };
        file.write_all(bytes)?;
        self.digest.update(bytes);
        self.size_bytes = self.size_bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// What there is; `None` when the tool printed nothing, or nothing is to be kept.
    fn finish(&mut self) -> io::Result<Option<Spooled>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let Some(file) = self.file.take() else { return Ok(None) };
        let mut file = file.finish()?;
        let stored_bytes = file.stream_position()?;
        file.rewind()?;
        let sha256 = self.digest.finalize_reset().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Some(Spooled { file, stored_bytes, size_bytes: self.size_bytes, sha256, is_cut: self.is_cut }))
    }
}

/// Why an output is not kept.
#[derive(Debug, thiserror::Error)]
enum NotKept {
    #[error("the copy of the output failed")]
    Copy(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blobs(#[from] BlobError),
    #[error("the object store takes too long")]
    Late,
}

/// Keeps outputs.
pub(crate) struct Keeper {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    /// Without one nothing is kept.
    pub(crate) blobs: Option<Blobs>,
    /// The most bytes of one run, before they are compressed.
    pub(crate) most_bytes: u64,
    /// How long the object store is waited for.
    pub(crate) patience: Patience,
}

impl Keeper {
    /// Keeps at most so many bytes of a run, and hurries when it is time to stop.
    pub(crate) fn new(db: Db, clock: Clock, blobs: Option<Blobs>, most_bytes: u64, stopping: &Shutdown) -> Self {
        Self { db, clock, blobs, most_bytes, patience: Patience::new(stopping.clone()) }
    }

    /// The copy of a run that begins.
    pub(crate) fn copy(&self) -> Copied {
        Copied::new(if self.blobs.is_some() { self.most_bytes } else { 0 })
    }

    /// Gives the copy to the object store. What is returned is to be said in the transaction that ends the run; a document
    /// of which nothing is said is swept.
    pub(crate) async fn keep(&self, task: &ClaimedTask, copy: &Copied) -> Option<Keep> {
        match self.try_to_keep(task, copy.clone()).await {
            Ok(kept) => kept,
            Err(error) => {
                metrics::counter!("picket_artifacts_lost_total").increment(1);
                tracing::warn!(error = picket_domain::cause(&error), "the output of a tool is not kept");
                None
            }
        }
    }

    async fn try_to_keep(&self, task: &ClaimedTask, copy: Copied) -> Result<Option<Keep>, NotKept> {
        let Some(blobs) = &self.blobs else { return Ok(None) };
        let spooled = tokio::task::spawn_blocking(move || copy.spool().finish());
        let Some(spooled) = spooled.await.map_err(io::Error::other)?? else { return Ok(None) };
        let now = self.clock.now();
        let id = ArtifactId::mint(now);
        let key = BlobKey::artifact(task.organization_id, id);
        let new = NewArtifact {
            id,
            kind: ArtifactKind::Output,
            size_bytes: i64::try_from(spooled.size_bytes).unwrap_or(i64::MAX),
            sha256: spooled.sha256.clone(),
            is_cut: spooled.is_cut,
        };
        // Before the document, so that it is found again whatever becomes of us.
        self.db
            .run("worker.begin_artifact", task.organization_id, async |tx| artifacts::begin(tx, task, &new, now).await)
            .await?;
        let stored_bytes = i64::try_from(spooled.stored_bytes).unwrap_or(i64::MAX);
        let content = Box::pin(parts(spooled.file));
        let put = blobs.put_stream(&key, content, spooled.stored_bytes);
        let put = self.patience.wait(put).await.ok_or(NotKept::Late);
        match put.and_then(|put| put.map_err(NotKept::from)) {
            Ok(_) => Ok(Some(Keep { id, stored_bytes: Some(stored_bytes) })),
            Err(error) => {
                metrics::counter!("picket_artifacts_lost_total").increment(1);
                tracing::warn!(error = picket_domain::cause(&error), artifact.id = %id, "the output of a tool is lost");
                Ok(Some(Keep { id, stored_bytes: None }))
            }
        }
    }
}

impl Keeper {
    /// Takes a document away again of which nobody will say that it is there, as its row says. What fails is told to the log:
    /// while there is a row that names the document, the steward takes it away.
    pub(crate) async fn discard(&self, task: &ClaimedTask, kept: &Keep) {
        let (Some(blobs), Some(_)) = (&self.blobs, kept.stored_bytes) else { return };
        let disown = async |tx: &Tx<'_>| artifacts::disown(tx, kept.id).await;
        match self.db.run("worker.disown_artifact", task.organization_id, disown).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                return tracing::warn!(error = picket_domain::cause(&error), artifact.id = %kept.id, "an output stays behind");
            }
        }
        let key = BlobKey::artifact(task.organization_id, kept.id);
        match tokio::time::timeout(FAREWELL, blobs.delete(&key)).await {
            Ok(Ok(())) => tracing::debug!(artifact.id = %kept.id, "an output that nobody keeps was taken away"),
            Ok(Err(error)) => {
                tracing::warn!(error = picket_domain::cause(&error), artifact.id = %kept.id, "an output stays behind");
            }
            Err(_) => tracing::warn!(artifact.id = %kept.id, "an output stays behind, the object store takes too long"),
        }
    }
}

/// The file in parts, each read on a thread that may block.
fn parts(file: File) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(file, |mut file| async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut part = Vec::new();
            let most = u64::try_from(PART).unwrap_or(u64::MAX);
            Read::by_ref(&mut file).take(most).read_to_end(&mut part).map(|_| (part, file))
        });
        let (part, file) = read.await.map_err(io::Error::other)??;
        Ok((!part.is_empty()).then(|| (Bytes::from(part), file)))
    })
}

#[cfg(test)]
mod tests {
    use flate2::read::GzDecoder;

    use super::*;

    fn copied(most: u64, output: &[u8]) -> Option<(Spooled, Vec<u8>)> {
        let copy = Copied::new(most);
        let mut read = Vec::new();
        copy.tee(output).read_to_end(&mut read).unwrap();
        assert_eq!(read, output, "whoever reads sees everything");
        let spooled = copy.spool().finish().unwrap()?;
        let mut kept = Vec::new();
        GzDecoder::new(&spooled.file).read_to_end(&mut kept).unwrap();
        Some((spooled, kept))
    }

    #[test]
    fn what_is_read_is_copied_byte_by_byte() {
        let output: Vec<u8> = (0..300_000_u32).map(|place| (place % 251).to_le_bytes()[0]).collect();
        let (spooled, kept) = copied(1 << 20, &output).unwrap();
        assert!(kept == output && !spooled.is_cut && spooled.stored_bytes < spooled.size_bytes);
        assert_eq!(
            spooled.sha256,
            Sha256::digest(&output).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        );
    }

    #[test]
    fn a_copy_is_bounded_and_says_so() {
        let (spooled, kept) = copied(10, b"0123456789abc").unwrap();
        assert!(spooled.is_cut && kept == b"0123456789" && spooled.size_bytes == 10);
        let (spooled, _) = copied(10, b"0123456789").unwrap();
        assert!(!spooled.is_cut);
    }

    #[test]
    fn nothing_makes_no_document() {
        assert!(copied(10, b"").is_none() && copied(0, b"abc").is_none());
    }
}
