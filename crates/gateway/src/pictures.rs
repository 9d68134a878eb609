//! Pictures of strangers, made harmless: what a picture claims to be is compared with what it is, its size is read before
//! anything is decoded, and what is kept is drawn anew, so that nothing of the file itself is ever served: no metadata, no
//! second document behind the first, no animation.

use std::{io::Cursor, sync::Arc, time::Duration};

use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Limits,
    codecs::png::PngEncoder, imageops::FilterType,
};
use tokio::sync::Semaphore;

use crate::Problem;

/// The longest file, in bytes.
pub(crate) const LONGEST_BYTES: usize = 2 * 1024 * 1024;
/// The most pixels of a side.
const LARGEST_SIDE: u32 = 4_096;
/// What one picture may take while it is decoded, in bytes: the largest one with 16 bits a channel.
const MOST_MEMORY: u64 = 128 * 1024 * 1024;
/// Pixels of a side of what is kept.
pub(crate) const SIDE: u32 = 256;
/// Pictures that are decoded at the same time.
const AT_ONCE: usize = 2;
/// How long one waits for that.
const PATIENCE: Duration = Duration::from_secs(10);

/// Decodes pictures, few at a time; cheap to clone.
#[derive(Clone)]
pub(crate) struct Pictures {
    free: Arc<Semaphore>,
}

impl Default for Pictures {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(AT_ONCE)) }
    }
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
    /// Draws the picture anew: a PNG of 256 by 256 pixels, filled.
    pub(crate) async fn avatar(&self, format: ImageFormat, file: Vec<u8>) -> Result<Vec<u8>, Problem> {
        let permit = tokio::time::timeout(PATIENCE, self.free.clone().acquire_owned())
            .await
            .map_err(|waited| Problem::Unavailable(Box::new(waited)))?
            .map_err(Problem::internal)?;
        let drawn = tokio::task::spawn_blocking(move || {
            let drawn = draw(format, &file);
            drop(permit);
            drawn
        });
        // A decoder that breaks has met a file that it cannot read.
        drawn.await.unwrap_or_else(|_| Err(broken()))
    }
}

fn draw(format: ImageFormat, file: &[u8]) -> Result<Vec<u8>, Problem> {
    if image::guess_format(file).ok() != Some(format) {
        return Err(invalid("invalid_image", "expected a PNG, JPEG or WebP image of the type that the header names"));
    }
    let picture = decode(format, file)?.resize_to_fill(SIDE, SIDE, FilterType::Triangle).into_rgba8();
    let mut drawn = Vec::new();
    PngEncoder::new(&mut drawn)
        .write_image(picture.as_raw(), SIDE, SIDE, ExtendedColorType::Rgba8)
        .map_err(Problem::internal)?;
    Ok(drawn)
}

/// The picture as it is meant to be seen; of an animation the first frame.
fn decode(format: ImageFormat, file: &[u8]) -> Result<DynamicImage, Problem> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    limits.max_alloc = Some(MOST_MEMORY);
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| refused(&error))?;
    let (width, height) = decoder.dimensions();
    if width > LARGEST_SIDE || height > LARGEST_SIDE || decoder.total_bytes() > MOST_MEMORY {
        return Err(too_large());
    }
    let orientation = decoder.orientation().map_err(|error| refused(&error))?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| refused(&error))?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn refused(error: &image::ImageError) -> Problem {
    if matches!(error, image::ImageError::Limits(_)) { too_large() } else { broken() }
}

fn too_large() -> Problem {
    invalid("image_too_large", "expected an image of at most 4096 by 4096 pixels")
}

fn broken() -> Problem {
    invalid("invalid_image", "expected an image that is complete and can be decoded")
}

fn invalid(code: &'static str, message: &'static str) -> Problem {
    Problem::field("(body)", code, message)
}

#[cfg(test)]
mod tests;
