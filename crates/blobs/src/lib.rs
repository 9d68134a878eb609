//! The only object store: whole documents under keys made of our ids, in a folder by default or in S3 by setting.
//! A key never holds text of a client, so no request can name a path; whoever asks must have checked in the database
//! that the caller may see the document.

mod blobs;
mod error;
mod key;
mod listing;
mod settings;

pub use blobs::{BlobMeta, BlobStream, Blobs};
pub use error::BlobError;
pub use key::{BlobKey, BlobName};
pub use listing::{BlobEntry, BlobListing};
pub use settings::BlobSettings;
