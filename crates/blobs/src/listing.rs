//! Everything that is in the store, a few at a time: for whoever looks for what nobody names. What is not named by our keys is
//! left out: it is somebody else's.

use std::time::SystemTime;

use futures_util::{StreamExt, stream::BoxStream};
use object_store::ObjectMeta;

use crate::{BlobError, BlobKey, BlobName};

/// An object that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobEntry {
    /// Its name.
    pub key: BlobKey,
    /// What the name says.
    pub name: BlobName,
    /// When it was written, by the store's clock.
    pub written_at: SystemTime,
}

/// A listing that goes on where it was left.
pub struct BlobListing(BoxStream<'static, object_store::Result<ObjectMeta>>);

impl BlobListing {
    pub(crate) const fn new(objects: BoxStream<'static, object_store::Result<ObjectMeta>>) -> Self {
        Self(objects)
    }

    /// Looks at the next objects, `most` of them, in no order; returns those whose keys are ours, and whether there may be more.
    ///
    /// # Errors
    /// `Store`; then this listing is of no more use.
    pub async fn next(&mut self, most: usize) -> Result<(Vec<BlobEntry>, bool), BlobError> {
        let mut entries = Vec::new();
        for _ in 0..most {
            let Some(object) = self.0.next().await else { return Ok((entries, false)) };
            entries.extend(entry(&object.map_err(BlobError::Store)?));
        }
        Ok((entries, true))
    }
}

fn entry(object: &ObjectMeta) -> Option<BlobEntry> {
    let (key, name) = BlobKey::parse(object.location.as_ref())?;
    Some(BlobEntry { key, name, written_at: object.last_modified.into() })
}
