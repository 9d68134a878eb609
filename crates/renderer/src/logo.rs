//! The logo of a report's branding. A picture of a stranger: its kind is told by its first bytes, never by what its
//! server said, and only pictures of sane size are taken, since a small file can unfold to gigabytes.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// A picture that a report may show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Logo {
    kind: LogoKind,
    content: Vec<u8>,
}

/// The kinds of picture that every format can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogoKind {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
}

/// A picture that no report may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogoError {
    /// Too many bytes.
    #[error("expected a picture of at most {} bytes", Logo::MAX_BYTES)]
    TooLarge,
    /// Not a kind we know, or a broken one.
    #[error("expected a PNG or JPEG picture")]
    Kind,
    /// Unfolds to too many pixels, or to none.
    #[error("expected a picture of 1 to {} pixels on each side", Logo::MAX_SIDE_PIXELS)]
    Size,
}

impl LogoKind {
    /// The media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
        }
    }

    /// The name that the PDF's template knows.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
        }
    }
}

impl Logo {
    /// The largest file.
    pub const MAX_BYTES: usize = 512 * 1_024;
    /// The longest side.
    pub const MAX_SIDE_PIXELS: u32 = 2_048;

    /// Checks a picture that was fetched.
    ///
    /// # Errors
    /// `TooLarge`, `Kind`, `Size`.
    pub fn parse(content: Vec<u8>) -> Result<Self, LogoError> {
        if content.len() > Self::MAX_BYTES {
            return Err(LogoError::TooLarge);
        }
        let (kind, sides) = png_sides(&content)
            .map(|sides| (LogoKind::Png, sides))
            .or_else(|| jpeg_sides(&content).map(|sides| (LogoKind::Jpeg, sides)))
            .ok_or(LogoError::Kind)?;
        let fits = |side: u32| (1..=Self::MAX_SIDE_PIXELS).contains(&side);
        if fits(sides.0) && fits(sides.1) { Ok(Self { kind, content }) } else { Err(LogoError::Size) }
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> LogoKind {
        self.kind
    }

    /// The file.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// The file as an address that needs no network.
    pub(crate) fn data_url(&self) -> String {
        format!("data:{};base64,{}", self.kind.media_type(), STANDARD.encode(&self.content))
    }
}

impl From<Logo> for String {
    fn from(logo: Logo) -> Self {
        STANDARD.encode(&logo.content)
    }
}

impl TryFrom<String> for Logo {
    type Error = LogoError;

    fn try_from(text: String) -> Result<Self, LogoError> {
        Self::parse(STANDARD.decode(text).map_err(|_| LogoError::Kind)?)
    }
}

/// Width and height from the header (W3C PNG §11.2.1: signature, length, `IHDR`, width, height).
fn png_sides(content: &[u8]) -> Option<(u32, u32)> {
    let header = content.strip_prefix(b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR")?;
    Some((big_endian(header.get(..4)?)?, big_endian(header.get(4..8)?)?))
}

/// Width and height from the first start-of-frame segment (ITU-T T.81 §B.2.2).
fn jpeg_sides(content: &[u8]) -> Option<(u32, u32)> {
    let mut rest = content.strip_prefix(b"\xff\xd8")?;
    loop {
        let marker = *rest.strip_prefix(b"\xff")?.first()?;
        let segment = rest.get(2..)?;
        let length = usize::try_from(big_endian(segment.get(..2)?)?).ok()?;
        // C4, C8 and CC are no frames: Huffman tables, reserved, arithmetic conditioning.
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            return Some((big_endian(segment.get(5..7)?)?, big_endian(segment.get(3..5)?)?));
        }
        // A length counts itself; a smaller one would never end.
        rest = segment.get(length.max(2)..)?;
    }
}

fn big_endian(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0_u32, |value, byte| value.checked_mul(256)?.checked_add(u32::from(*byte)))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A real PNG of 2 × 2 pixels.
    pub(crate) const PNG: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg==";

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut content = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR".to_vec();
        content.extend(width.to_be_bytes());
        content.extend(height.to_be_bytes());
        content
    }

    fn jpeg(width: u16, height: u16) -> Vec<u8> {
        let mut content = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc4\x00\x03x\xff\xc2\x00\x11\x08".to_vec();
        content.extend(height.to_be_bytes());
        content.extend(width.to_be_bytes());
        content
    }

    #[test]
    fn a_picture_is_known_by_its_bytes() {
        assert_eq!(Logo::parse(png(640, 480)).unwrap().kind(), LogoKind::Png);
        assert_eq!(Logo::parse(jpeg(640, 480)).unwrap().kind(), LogoKind::Jpeg);
        for wrong in [&b""[..], b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"GIF89a", b"\xff\xd8\xff", b"%PDF-1.7"] {
            assert_eq!(Logo::parse(wrong.to_vec()), Err(LogoError::Kind));
        }
    }

    #[test]
    fn a_picture_that_unfolds_to_gigabytes_is_refused() {
        for (width, height) in [(0, 1), (2_049, 1), (1, u32::MAX)] {
            assert_eq!(Logo::parse(png(width, height)), Err(LogoError::Size));
        }
        assert_eq!(Logo::parse(jpeg(2_048, 2_049)), Err(LogoError::Size));
        assert_eq!(Logo::parse(vec![0; Logo::MAX_BYTES + 1]), Err(LogoError::TooLarge));
    }

    #[test]
    fn a_logo_survives_its_way_to_the_child() {
        let logo = Logo::try_from(PNG.to_owned()).unwrap();
        let sent = serde_json::to_string(&logo).unwrap();
        assert_eq!(serde_json::from_str::<Logo>(&sent).unwrap(), logo);
        assert!(logo.data_url().starts_with("data:image/png;base64,iVBOR"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused_without_a_panic(tail: Vec<u8>, jpeg: bool) {
            let head: &[u8] = if jpeg { b"\xff\xd8\xff" } else { b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" };
            let _ = Logo::parse([head, &tail].concat());
        }
    }
}
