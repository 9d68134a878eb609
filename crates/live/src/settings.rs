//! Where Redis is and how long it may take.

use secrecy::SecretString;
use serde::Deserialize;

/// Settings of Redis.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveSettings {
    /// Its URL, with the password if there is one.
    pub url: SecretString,
    /// What every key begins with.
    #[serde(default = "default_key_prefix")]
    pub key_prefix: String,
    /// How long one question may take, connecting included, in milliseconds.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
}

fn default_key_prefix() -> String {
    "picket".to_owned()
}

const fn default_timeout_ms() -> u64 {
    200
}
