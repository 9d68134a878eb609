//! Pictures of strangers, made harmless: what a picture claims to be is compared with what it is, its size is read before
//! anything is decoded, and what is kept is drawn anew, so that nothing of the file itself is ever served: no metadata, no
//! second document behind the first, no animation. No file is decoded in this process: a child does it, which has locked
//! itself in (`pictures/child.rs`).

mod child;
mod draw;

use std::{sync::Arc, time::Duration};

pub use child::decode_picture_main;
use image::ImageFormat;
use picket_kit::{ChildBounds, ChildCommand, ChildEnd, ChildError, run_child};
use tokio::sync::Semaphore;

use self::draw::Fault;
pub(crate) use self::draw::SIDE;
use crate::Problem;

/// The longest file, in bytes.
pub(crate) const LONGEST_BYTES: usize = 2 * 1024 * 1024;
/// The most bytes that a drawn picture can have: its pixels, and some for the format.
pub(crate) const LARGEST_DRAWN: u64 = 512 * 1024;
/// Pictures that are decoded at the same time.
const AT_ONCE: usize = 2;
/// How long one waits for that.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one picture may take; longer than its processor time, which is what ends one that computes.
const WALL: Duration = Duration::from_secs(15);
/// What a picture of ours begins with.
const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Decodes pictures, few at a time; cheap to clone.
#[derive(Clone)]
pub(crate) struct Pictures {
    free: Arc<Semaphore>,
    decoder: Arc<ChildCommand>,
}

/// The formats that are read, by their media types.
pub(crate) fn format(media_type: &str) -> Option<ImageFormat> {
    match media_type.trim().to_ascii_lowercase().as_str() {
        "image/png" => Some(ImageFormat::Png),
        "image/jpeg" => Some(ImageFormat::Jpeg),
        "image/webp" => Some(ImageFormat::WebP),
        _ => None,
    }
}

impl Pictures {
    /// The program decodes.
    pub(crate) fn new(decoder: ChildCommand) -> Self {
        Self { free: Arc::new(Semaphore::new(AT_ONCE)), decoder: Arc::new(decoder) }
    }

    /// Draws the picture anew: a PNG of 256 by 256 pixels, filled.
    pub(crate) async fn avatar(&self, format: ImageFormat, file: Vec<u8>) -> Result<Vec<u8>, Problem> {
        let permit = tokio::time::timeout(PATIENCE, self.free.acquire())
            .await
            .map_err(|waited| Problem::Unavailable(Box::new(waited)))?
            .map_err(Problem::internal)?;
        let input = [format.to_mime_type().as_bytes(), b"\n", &file].concat();
        let end = run_child(&self.decoder, &[], &input, ChildBounds { wall: WALL, output_bytes: LARGEST_DRAWN }).await;
        drop(permit);
        judge(end)
    }
}

/// Whatever the child died of, it died of the file; only where it could not do its work at all, that is not the client's fault.
fn judge(end: Result<ChildEnd, ChildError>) -> Result<Vec<u8>, Problem> {
    let end = match end {
        Ok(end) => end,
        Err(error @ ChildError::Process(_)) => return Err(Problem::Unavailable(Box::new(error))),
        Err(error @ (ChildError::TimedOut(_) | ChildError::TooLarge { .. })) => {
            tracing::warn!(error = picket_domain::cause(&error), "the decoder of a picture was killed");
            return Err(Fault::Broken.problem());
        }
    };
    if end.status.code() == Some(child::NOT_CONFINED) {
        return Err(Problem::internal(std::io::Error::other(end.words)));
    }
    if end.status.success() && end.output.starts_with(PNG_SIGNATURE) {
        return Ok(end.output);
    }
    let fault = end.words.lines().last().and_then(Fault::find);
    if fault.is_none() {
        tracing::warn!(status = %end.status, words = end.words, "the decoder of a picture broke");
    }
    Err(fault.unwrap_or(Fault::Broken).problem())
}
