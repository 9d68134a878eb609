//! A namespace on the broker for each test: every exchange and queue of it begins with a prefix of its own.

use uuid::Uuid;

use crate::required;

/// Where a test's messages live.
#[derive(Debug, Clone)]
pub struct Namespace {
    /// The broker's URL.
    pub url: String,
    /// The prefix of all names.
    pub prefix: String,
}

impl Namespace {
    /// A new namespace on the broker of `AMQP_URL`.
    ///
    /// # Panics
    /// Without `AMQP_URL`.
    #[must_use]
    pub fn new() -> Self {
        Self { url: required("AMQP_URL"), prefix: format!("t{}", Uuid::now_v7().simple()) }
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}
