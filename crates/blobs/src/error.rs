//! What can go wrong with the object store, by what the caller does about it.

use std::path::PathBuf;

/// A failure of the object store.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// Nothing is stored under the key.
    #[error("expected an object under {key}")]
    NotFound {
        /// The key.
        key: String,
    },
    /// The range begins behind the end of the object, or is empty.
    #[error("expected a range inside {size_bytes} bytes")]
    Range {
        /// How large the object is.
        size_bytes: u64,
    },
    /// The object is larger than the caller wants to hold or store.
    #[error("expected at most {limit_bytes} bytes")]
    TooLarge {
        /// The caller's limit.
        limit_bytes: u64,
    },
    /// The folder cannot be used.
    #[error("expected a folder that can be written at {path}")]
    Folder {
        /// The folder of the settings.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The stream to be stored broke off; nothing was stored.
    #[error("expected the whole document, but its source failed")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store failed or cannot be reached; worth another try.
    #[error("the object store failed")]
    Store(#[source] object_store::Error),
}

impl BlobError {
    /// Sorts a failure of the store; `key` is for the reader.
    pub(crate) fn of(error: object_store::Error, key: &str) -> Self {
        if matches!(error, object_store::Error::NotFound { .. }) {
            return Self::NotFound { key: key.to_owned() };
        }
        Self::Store(error)
    }
}
