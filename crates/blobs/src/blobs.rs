//! Reading and writing of objects. Writes are whole or not at all: a reader never sees half a document.

use std::{ops::Range, path::Path as FilePath, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, WriteMultipart, aws::AmazonS3Builder,
    local::LocalFileSystem,
};
use secrecy::ExposeSecret;

use crate::{BlobError, BlobKey, BlobListing, BlobSettings};

/// How many parts of one upload may be on their way at once.
const PARTS_IN_FLIGHT: usize = 4;

/// A handle to the object store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
}

/// What is known of an object without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobMeta {
    /// Its size.
    pub size_bytes: u64,
    /// The store's mark of this version, without quotation marks around it, when the store gives one.
    pub etag: Option<String>,
}

/// An object on its way to a reader.
pub struct BlobStream {
    /// The whole object.
    pub meta: BlobMeta,
    /// The bytes that follow, as positions in the object.
    pub range: Range<u64>,
    /// The content; it ends with an error when the store fails on the way.
    pub bytes: BoxStream<'static, Result<Bytes, BlobError>>,
}

impl Blobs {
    /// Opens the store of the settings; a folder is made when it is not there.
    ///
    /// # Errors
    /// `Folder` when the folder cannot be made, `Store` when the settings of the bucket do not fit together.
    pub fn open(settings: &BlobSettings) -> Result<Self, BlobError> {
        let store: Arc<dyn ObjectStore> = match settings {
            BlobSettings::Folder { path } => Arc::new(folder(path)?),
            BlobSettings::S3 { bucket, region, endpoint, allow_http, access_key_id, secret_access_key } => {
                let mut builder = AmazonS3Builder::new().with_bucket_name(bucket).with_region(region);
                builder = builder.with_allow_http(*allow_http);
                if let Some(endpoint) = endpoint {
                    builder = builder.with_endpoint(endpoint);
                }
                if let Some(id) = access_key_id {
                    builder = builder.with_access_key_id(id);
                }
                if let Some(secret) = secret_access_key {
                    builder = builder.with_secret_access_key(secret.expose_secret());
                }
                Arc::new(builder.build().map_err(BlobError::Store)?)
            }
        };
        Ok(Self { store })
    }

    /// Stores a document under the key, in place of what was there.
    ///
    /// # Errors
    /// `Store` when the store failed; then nothing has changed.
    #[tracing::instrument(name = "blobs.put", skip_all, fields(blob.key = %key, blob.size_bytes = content.len()), err(level = "debug"))]
    pub async fn put(&self, key: &BlobKey, content: Bytes) -> Result<BlobMeta, BlobError> {
        let size_bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
        let put = self.store.put(&key.path(), content.into()).await.map_err(BlobError::Store)?;
        Ok(BlobMeta { size_bytes, etag: put.e_tag.map(unquoted) })
    }

    /// Stores a document of unknown size while it arrives, at most `limit_bytes` of it.
    ///
    /// # Errors
    /// `TooLarge`, `Source` when the stream broke off, `Store`; then nothing has changed.
    #[tracing::instrument(name = "blobs.put_stream", skip_all, fields(blob.key = %key), err(level = "debug"))]
    pub async fn put_stream<E>(
        &self,
        key: &BlobKey,
        mut content: impl Stream<Item = Result<Bytes, E>> + Unpin,
        limit_bytes: u64,
    ) -> Result<BlobMeta, BlobError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let upload = self.store.put_multipart(&key.path()).await.map_err(BlobError::Store)?;
        let mut upload = WriteMultipart::new(upload);
        match fill(&mut upload, &mut content, limit_bytes).await {
            Ok(size_bytes) => {
                let put = upload.finish().await.map_err(BlobError::Store)?;
                Ok(BlobMeta { size_bytes, etag: put.e_tag.map(unquoted) })
            }
            Err(error) => {
                upload.abort().await.map_err(BlobError::Store)?;
                Err(error)
            }
        }
    }

    /// The whole document, when it has at most `limit_bytes`.
    ///
    /// # Errors
    /// `NotFound`, `TooLarge`, `Store`.
    #[tracing::instrument(name = "blobs.get", skip_all, fields(blob.key = %key), err(level = "debug"))]
    pub async fn get(&self, key: &BlobKey, limit_bytes: u64) -> Result<Bytes, BlobError> {
        let found = self.store.get(&key.path()).await.map_err(|error| BlobError::of(error, key.as_str()))?;
        if found.meta.size > limit_bytes {
            return Err(BlobError::TooLarge { limit_bytes });
        }
        found.bytes().await.map_err(|error| BlobError::of(error, key.as_str()))
    }

    /// The document, or the bytes of `range` (cut at its end), as they are read.
    ///
    /// # Errors
    /// `NotFound`, `Range` when the range is empty or begins behind the end, `Store`.
    #[tracing::instrument(name = "blobs.stream", skip_all, fields(blob.key = %key), err(level = "debug"))]
    pub async fn stream(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobStream, BlobError> {
        if let Some(range) = &range {
            let size_bytes = self.head(key).await?.size_bytes;
            if range.is_empty() || range.start >= size_bytes {
                return Err(BlobError::Range { size_bytes });
            }
        }
        let options = GetOptions::new().with_range(range.map(GetRange::Bounded));
        let found = self.store.get_opts(&key.path(), options).await;
        let found = found.map_err(|error| BlobError::of(error, key.as_str()))?;
        let (meta, range) = (meta(&found.meta), found.range.clone());
        Ok(BlobStream { meta, range, bytes: found.into_stream().map_err(BlobError::Store).boxed() })
    }

    /// What is known of the document.
    ///
    /// # Errors
    /// `NotFound`, `Store`.
    #[tracing::instrument(name = "blobs.head", skip_all, fields(blob.key = %key), err(level = "debug"))]
    pub async fn head(&self, key: &BlobKey) -> Result<BlobMeta, BlobError> {
        let found = self.store.head(&key.path()).await.map_err(|error| BlobError::of(error, key.as_str()))?;
        Ok(meta(&found))
    }

    /// Everything that is there. Nothing is asked of the store before the listing is.
    #[must_use]
    pub fn list(&self) -> BlobListing {
        BlobListing::new(self.store.list(None))
    }

    /// Deletes the document; to delete what is not there is no error.
    ///
    /// # Errors
    /// `Store`.
    #[tracing::instrument(name = "blobs.delete", skip_all, fields(blob.key = %key), err(level = "debug"))]
    pub async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        match self.store.delete(&key.path()).await.map_err(|error| BlobError::of(error, key.as_str())) {
            Err(BlobError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }
}

fn folder(path: &FilePath) -> Result<LocalFileSystem, BlobError> {
    std::fs::create_dir_all(path).map_err(|source| BlobError::Folder { path: path.to_owned(), source })?;
    // A report that was announced must survive a power cut.
    Ok(LocalFileSystem::new_with_prefix(path).map_err(BlobError::Store)?.with_fsync(true))
}

async fn fill<E>(
    upload: &mut WriteMultipart,
    content: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
    limit_bytes: u64,
) -> Result<u64, BlobError>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut size_bytes = 0_u64;
    while let Some(part) = content.next().await {
        let part = part.map_err(|error| BlobError::Source(error.into()))?;
        size_bytes = size_bytes.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
        if size_bytes > limit_bytes {
            return Err(BlobError::TooLarge { limit_bytes });
        }
        upload.wait_for_capacity(PARTS_IN_FLIGHT).await.map_err(BlobError::Store)?;
        upload.put(part);
    }
    Ok(size_bytes)
}

fn meta(found: &ObjectMeta) -> BlobMeta {
    BlobMeta { size_bytes: found.size, etag: found.e_tag.clone().map(unquoted) }
}

fn unquoted(etag: String) -> String {
    etag.trim_matches('"').to_owned()
}
