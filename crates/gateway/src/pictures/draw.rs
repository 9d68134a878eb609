//! Drawing a picture anew. Runs in the child process alone: a decoder is the one part of the gateway that works through
//! what a stranger built byte by byte.

use std::io::Cursor;

use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Limits,
    codecs::png::PngEncoder, imageops::FilterType,
};

use crate::Problem;

/// The most pixels of a side.
const LARGEST_SIDE: u32 = 4_096;
/// What one picture may take while it is decoded, in bytes: the largest one with 16 bits a channel.
const MOST_MEMORY: u64 = 128 * 1024 * 1024;
/// Pixels of a side of what is kept.
pub(crate) const SIDE: u32 = 256;

/// Why a file is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not what its header says.
    OtherType,
    /// Too many pixels.
    TooLarge,
    /// It cannot be decoded.
    Broken,
}

impl Fault {
    /// The word by which a child tells its parent.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::OtherType => "other-type",
            Self::TooLarge => "too-large",
            Self::Broken => "broken",
        }
    }

    pub(super) fn find(word: &str) -> Option<Self> {
        [Self::OtherType, Self::TooLarge, Self::Broken].into_iter().find(|fault| fault.word() == word)
    }

    const fn code(self) -> &'static str {
        match self {
            Self::OtherType | Self::Broken => "invalid_image",
            Self::TooLarge => "image_too_large",
        }
    }

    pub(super) fn problem(self) -> Problem {
        let message = match self {
            Self::OtherType => "expected a PNG, JPEG or WebP image of the type that the header names",
            Self::TooLarge => "expected an image of at most 4096 by 4096 pixels",
            Self::Broken => "expected an image that is complete and can be decoded",
        };
        Problem::field("(body)", self.code(), message)
    }

    const fn of(error: &image::ImageError) -> Self {
        if matches!(error, image::ImageError::Limits(_)) { Self::TooLarge } else { Self::Broken }
    }
}

/// Draws the picture anew: a PNG, filled.
pub(super) fn draw(format: ImageFormat, file: &[u8]) -> Result<Vec<u8>, Fault> {
    if image::guess_format(file).ok() != Some(format) {
        return Err(Fault::OtherType);
    }
    let picture = decode(format, file)?.resize_to_fill(SIDE, SIDE, FilterType::Triangle).into_rgba8();
    let mut drawn = Vec::new();
    PngEncoder::new(&mut drawn)
        .write_image(picture.as_raw(), SIDE, SIDE, ExtendedColorType::Rgba8)
        .map_err(|_| Fault::Broken)?;
    Ok(drawn)
}

/// The picture as it is meant to be seen; of an animation the first frame.
fn decode(format: ImageFormat, file: &[u8]) -> Result<DynamicImage, Fault> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    limits.max_alloc = Some(MOST_MEMORY);
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| Fault::of(&error))?;
    let (width, height) = decoder.dimensions();
    if width > LARGEST_SIDE || height > LARGEST_SIDE || decoder.total_bytes() > MOST_MEMORY {
        return Err(Fault::TooLarge);
    }
    let orientation = decoder.orientation().map_err(|error| Fault::of(&error))?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| Fault::of(&error))?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

#[cfg(test)]
mod tests;
