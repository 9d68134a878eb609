//! A body that may be too large for memory. Its beginning is kept there, what is longer goes to a file without a name, in
//! the folder for temporary files, that ends with the request. It is never looked at here, only measured.

use std::{
    fs::File,
    io::{BufRead, BufReader, Cursor, Read, Seek, SeekFrom, Write},
};

use actix_web::{HttpRequest, dev::Payload, error::PayloadError, http::header, web::Bytes};
use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};

use super::in_time;
use crate::Problem;

/// What is kept in memory, and what is written and read at a time, in bytes.
const PIECE_BYTES: usize = 1024 * 1024;

/// A whole body.
pub(crate) struct Spool {
    /// All of it when there is no file; nothing otherwise.
    kept: Vec<u8>,
    file: Option<File>,
    size_bytes: u64,
    sha256: [u8; 32],
}

impl Spool {
    /// Takes a body of at most `limit_bytes`, unless the client takes too long over it.
    pub(crate) async fn read(request: &HttpRequest, payload: Payload, limit_bytes: u64) -> Result<Self, Problem> {
        let announced =
            request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: u64| length > limit_bytes) {
            return Err(too_large(limit_bytes));
        }
        in_time(request, collect(payload, limit_bytes)).await
    }

    /// Its length.
    pub(crate) const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// SHA-256 of it.
    pub(crate) const fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// The same body once more, for who reads it when the first one is done with it: both have one place in the file.
    pub(crate) fn again(&self) -> std::io::Result<Self> {
        let file = self.file.as_ref().map(File::try_clone).transpose()?;
        Ok(Self { kept: self.kept.clone(), file, size_bytes: self.size_bytes, sha256: self.sha256 })
    }

    /// Reads it from its beginning. Blocks.
    pub(crate) fn into_reader(self) -> std::io::Result<Box<dyn BufRead + Send>> {
        let Some(mut file) = self.file else { return Ok(Box::new(Cursor::new(self.kept))) };
        file.seek(SeekFrom::Start(0))?;
        Ok(Box::new(BufReader::with_capacity(64 * 1024, file)))
    }

    /// The body once more, as it came.
    pub(crate) fn into_payload(self) -> Result<Payload, Problem> {
        let Some(mut file) = self.file else { return Ok(Payload::from(Bytes::from(self.kept))) };
        file.seek(SeekFrom::Start(0)).map_err(Problem::internal)?;
        let pieces = stream::try_unfold(file, |file| async {
            let read = tokio::task::spawn_blocking(move || piece(file)).await;
            read.map_err(|error| PayloadError::Io(std::io::Error::other(error)))?.map_err(PayloadError::Io)
        });
        Ok(Payload::Stream { payload: Box::pin(pieces) })
    }
}

/// The next piece of a file, with the file.
fn piece(mut file: File) -> std::io::Result<Option<(Bytes, File)>> {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    (&mut file).take(u64::try_from(PIECE_BYTES).unwrap_or(u64::MAX)).read_to_end(&mut piece)?;
    Ok((!piece.is_empty()).then(|| (Bytes::from(piece), file)))
}

async fn collect(mut payload: Payload, limit_bytes: u64) -> Result<Spool, Problem> {
    let (mut kept, mut file, mut size_bytes, mut hasher) = (Vec::new(), None, 0_u64, Sha256::new());
    while let Some(chunk) = payload.next().await {
        let chunk: Bytes = chunk.map_err(|_| Problem::Malformed("expected a complete body"))?;
        size_bytes = size_bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if size_bytes > limit_bytes {
            return Err(too_large(limit_bytes));
        }
        hasher.update(&chunk);
        kept.extend_from_slice(&chunk);
        if kept.len() > PIECE_BYTES {
            file = Some(spill(file, std::mem::take(&mut kept)).await?);
        }
    }
    if file.is_some() && !kept.is_empty() {
        file = Some(spill(file, std::mem::take(&mut kept)).await?);
    }
    Ok(Spool { kept, file, size_bytes, sha256: hasher.finalize().into() })
}

/// Writes what is too much for memory.
async fn spill(file: Option<File>, kept: Vec<u8>) -> Result<File, Problem> {
    let written = tokio::task::spawn_blocking(move || {
        let mut file = file.map_or_else(tempfile::tempfile, Ok)?;
        file.write_all(&kept)?;
        Ok::<_, std::io::Error>(file)
    });
    // A full disk passes; the client may come again.
    written.await.map_err(Problem::internal)?.map_err(|error| Problem::Unavailable(Box::new(error)))
}

fn too_large(limit_bytes: u64) -> Problem {
    Problem::TooLarge { limit_bytes: usize::try_from(limit_bytes).unwrap_or(usize::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(body: &[u8]) -> Payload {
        let chunks: Vec<Result<Bytes, PayloadError>> =
            body.chunks(100_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        Payload::Stream { payload: Box::pin(stream::iter(chunks)) }
    }

    #[tokio::test]
    async fn a_body_of_any_size_comes_back_as_it_was() {
        for size in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 7] {
            let body: Vec<u8> = (0..=u8::MAX).cycle().take(size).collect();
            let spool = collect(sent(&body), 10_000_000).await.unwrap();
            assert_eq!(spool.file.is_some(), size > PIECE_BYTES, "{size}");
            assert_eq!(spool.size_bytes(), u64::try_from(size).unwrap());
            let sha256: [u8; 32] = Sha256::digest(&body).into();
            assert_eq!(spool.sha256(), sha256);
            let again = collect(spool.into_payload().unwrap(), 10_000_000).await.unwrap();
            let mut read = Vec::new();
            again.into_reader().unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, body, "{size}");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_is_refused_while_it_comes() {
        let refused = collect(sent(&[b'x'; 300_000]), 250_000).await;
        assert!(matches!(refused, Err(Problem::TooLarge { limit_bytes: 250_000 })));
    }
}
