//! Where documents are kept. Secrets stay in types that cannot be printed.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

/// The place of the object store.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum BlobSettings {
    /// A folder of this machine; every process that uses it must see the same one.
    Folder {
        /// The folder; made when it is not there.
        path: PathBuf,
    },
    /// A bucket of S3 or of a store that speaks its protocol.
    S3 {
        /// The bucket; it must exist.
        bucket: String,
        /// The region; stores other than Amazon's mostly take any.
        #[serde(default = "default_region")]
        region: String,
        /// The address of a store that is not Amazon's.
        #[serde(default)]
        endpoint: Option<String>,
        /// Whether the endpoint may be plain HTTP; for a store on the same machine only.
        #[serde(default)]
        allow_http: bool,
        /// The access key; without one the instance's own role is used.
        #[serde(default)]
        access_key_id: Option<String>,
        /// The secret of the access key.
        #[serde(default)]
        secret_access_key: Option<SecretString>,
    },
}

fn default_region() -> String {
    "us-east-1".to_owned()
}
