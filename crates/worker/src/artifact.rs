//! What a tool printed, as it printed it: copied while the parser reads it, and compressed. What is small then is kept with the
//! row that ends the run; the rest goes into a file without a name, and to the object store when the run is over. At no time
//! is all of that in memory, and whatever fails here fails no task.

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
    artifacts::{self, ArtifactKind, Keep, Kept, NewArtifact, SMALL_BYTES},
};
use sha2::{Digest, Sha256};
use tempfile::{SpooledData, SpooledTempFile};

use crate::{WorkerSettings, patience::Patience};

/// How long taking a document away again may take.
const FAREWELL: Duration = Duration::from_secs(5);
/// Bytes that are on their way to it at once.
const PART: usize = 256 * 1024;

/// A copy of an output; clones are of the same run.
#[derive(Clone)]
pub(crate) struct Copied(Arc<Mutex<Spool>>);

struct Spool {
    most: u64,
    /// Compressed bytes that make no file.
    small: usize,
    file: Option<GzEncoder<SpooledTempFile>>,
    digest: Sha256,
    size_bytes: u64,
    is_cut: bool,
    failed: Option<io::Error>,
}

/// What was copied, at rest.
#[derive(Debug)]
struct Spooled {
    content: Content,
    stored_bytes: u64,
    size_bytes: u64,
    sha256: String,
    is_cut: bool,
}

/// Where it rests, compressed.
#[derive(Debug)]
enum Content {
    Small(Vec<u8>),
    File(File),
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
    /// A copy of at most so many bytes, which makes no file while it has no more than `small` when compressed.
    pub(crate) fn new(most: u64, small: usize) -> Self {
        let spool = Spool {
            most,
            small: small.min(SMALL_BYTES),
            file: None,
            digest: Sha256::new(),
            size_bytes: 0,
            is_cut: false,
            failed: None,
        };
        Self(Arc::new(Mutex::new(spool)))
    }

    /// Copies what is read of the output.
    pub(crate) fn tee<R: Read>(&self, output: R) -> Tee<R> {
        Tee { output, copy: self.clone() }
    }

    /// Ends the copy; what went to a file may block.
    async fn finish(&self) -> io::Result<Option<Spooled>> {
        if self.spool().is_small() {
            return self.spool().finish();
        }
        let copy = self.clone();
        tokio::task::spawn_blocking(move || copy.spool().finish()).await.map_err(io::Error::other)?
    }

    fn spool(&self) -> MutexGuard<'_, Spool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spool {
    /// Whether nothing of it went to a file.
    fn is_small(&self) -> bool {
        self.file.as_ref().is_none_or(|file| !file.get_ref().is_rolled())
    }

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
            none => none.insert(GzEncoder::new(SpooledTempFile::new(self.small), Compression::fast())),
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
        let content = match file.into_inner() {
            SpooledData::InMemory(content) => Content::Small(content.into_inner()),
            SpooledData::OnDisk(mut file) => {
                file.rewind()?;
                Content::File(file)
            }
        };
        let sha256 = self.digest.finalize_reset().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Some(Spooled { content, stored_bytes, size_bytes: self.size_bytes, sha256, is_cut: self.is_cut }))
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
    /// Compressed bytes that stay in the row.
    pub(crate) row_bytes: usize,
    /// How long the object store is waited for.
    pub(crate) patience: Patience,
}

impl Keeper {
    /// Keeps at most so many bytes of a run, those of a small one in its row, and hurries when it is time to stop.
    pub(crate) fn new(
        db: Db,
        clock: Clock,
        blobs: Option<Blobs>,
        settings: &WorkerSettings,
        stopping: &Shutdown,
    ) -> Self {
        let (most_bytes, row_bytes) = (settings.artifact_bytes, usize::from(settings.artifact_row_bytes));
        Self { db, clock, blobs, most_bytes, row_bytes, patience: Patience::new(stopping.clone()) }
    }

    /// The copy of a run that begins.
    pub(crate) fn copy(&self) -> Copied {
        Copied::new(if self.blobs.is_some() { self.most_bytes } else { 0 }, self.row_bytes)
    }

    /// Gives the copy to the object store. What is returned is to be said in the transaction that ends the run; a document
    /// of which nothing is said is swept.
    pub(crate) async fn keep(&self, task: &ClaimedTask, copy: &Copied) -> Option<Kept> {
        match self.try_to_keep(task, copy).await {
            Ok(kept) => kept,
            Err(error) => {
                metrics::counter!("picket_artifacts_lost_total").increment(1);
                tracing::warn!(error = picket_domain::cause(&error), "the output of a tool is not kept");
                None
            }
        }
    }

    async fn try_to_keep(&self, task: &ClaimedTask, copy: &Copied) -> Result<Option<Kept>, NotKept> {
        let Some(blobs) = &self.blobs else { return Ok(None) };
        let Some(Spooled { content, stored_bytes, size_bytes, sha256, is_cut }) = copy.finish().await? else {
            return Ok(None);
        };
        let id = ArtifactId::mint(self.clock.now());
        let size_bytes = i64::try_from(size_bytes).unwrap_or(i64::MAX);
        let new = NewArtifact { id, kind: ArtifactKind::Output, size_bytes, sha256, is_cut };
        match content {
            Content::Small(content) => Ok(Some(Kept::Small { new, content })),
            Content::File(file) => self.put(task, blobs, new, (file, stored_bytes)).await.map(Some),
        }
    }

    /// Gives a file to the object store, with its row before it, so that it is found again whatever becomes of us.
    async fn put(
        &self,
        task: &ClaimedTask,
        blobs: &Blobs,
        new: NewArtifact,
        (file, size): (File, u64),
    ) -> Result<Kept, NotKept> {
        let (id, now) = (new.id, self.clock.now());
        self.db
            .run("worker.begin_artifact", task.organization_id, async |tx| artifacts::begin(tx, task, &new, now).await)
            .await?;
        let key = BlobKey::artifact(task.organization_id, id);
        let put = blobs.put_stream(&key, Box::pin(parts(file)), size);
        let put = self.patience.wait(put).await.ok_or(NotKept::Late);
        let stored_bytes = match put.and_then(|put| put.map_err(NotKept::from)) {
            Ok(_) => Some(i64::try_from(size).unwrap_or(i64::MAX)),
            Err(error) => {
                metrics::counter!("picket_artifacts_lost_total").increment(1);
                tracing::warn!(error = picket_domain::cause(&error), artifact.id = %id, "the output of a tool is lost");
                None
            }
        };
        Ok(Kept::Document(Keep { id, stored_bytes }))
    }
}

impl Keeper {
    /// Takes a document away again of which nobody will say that it is there, as its row says. What fails is told to the log:
    /// while there is a row that names the document, the steward takes it away.
    pub(crate) async fn discard(&self, task: &ClaimedTask, kept: &Kept) {
        let Kept::Document(kept) = kept else { return };
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
        let copy = Copied::new(most, SMALL_BYTES);
        let mut read = Vec::new();
        copy.tee(output).read_to_end(&mut read).unwrap();
        assert_eq!(read, output, "whoever reads sees everything");
        let spooled = copy.spool().finish().unwrap()?;
        let mut kept = Vec::new();
        match &spooled.content {
            Content::Small(content) => GzDecoder::new(content.as_slice()).read_to_end(&mut kept).unwrap(),
            Content::File(file) => GzDecoder::new(file).read_to_end(&mut kept).unwrap(),
        };
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
    fn what_is_small_when_compressed_makes_no_file() {
        let (spooled, kept) = copied(1 << 20, &[7; 100_000]).unwrap();
        assert!(matches!(spooled.content, Content::Small(content) if content.len() <= SMALL_BYTES));
        assert_eq!(kept, [7; 100_000]);
        let noise: Vec<u8> =
            (0..20_000_u32).flat_map(|place| Sha256::digest(place.to_le_bytes())[..1].to_vec()).collect();
        let (spooled, kept) = copied(1 << 20, &noise).unwrap();
        assert!(matches!(spooled.content, Content::File(_)) && kept == noise);
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
