//! Pictures that customers name by URL: fetched once, bounded, and known by their first bytes, never by what a header or
//! a name says. SVG is refused: it is a program.

use bytes::Bytes;
use url::Url;

use crate::{HttpClient, Limits, OutboundError};

/// The largest picture that is fetched.
pub const LARGEST_IMAGE_BYTES: usize = 2 * 1_024 * 1_024;

/// A picture. Its bytes are not decoded here, and hostile until they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What its first bytes say it is.
    pub kind: ImageKind,
    /// The file.
    pub bytes: Bytes,
}

/// The formats that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageKind {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
}

impl ImageKind {
    /// The format that a file begins as (PNG §5.2, JPEG SOI and the next marker).
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Png)
        } else if bytes.starts_with(b"\xff\xd8\xff") {
            Some(Self::Jpeg)
        } else {
            None
        }
    }
}

impl HttpClient {
    /// Fetches a PNG or JPEG of at most [`LARGEST_IMAGE_BYTES`]. Redirects are not followed.
    pub async fn fetch_image(&self, url: &Url) -> Result<Image, OutboundError> {
        let answer = self.get(url, Limits::whole(LARGEST_IMAGE_BYTES)).await?;
        if answer.status != 200 {
            return Err(OutboundError::Unexpected("status 200"));
        }
        if answer.truncated {
            return Err(OutboundError::TooLarge);
        }
        let kind = ImageKind::of(&answer.body).ok_or(OutboundError::Unexpected("a png or jpeg picture"))?;
        Ok(Image { kind, bytes: answer.body })
    }
}
