//! Why the gateway cannot start or go on.

/// The gateway cannot start, or its listener failed.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A setting cannot be used.
    #[error("gateway.{setting}: expected {expected}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What was expected.
        expected: &'static str,
        /// Why it does not fit.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The listener could not be opened, or failed.
    #[error("the listener failed")]
    Listener(#[from] std::io::Error),
}

impl GatewayError {
    pub(crate) fn setting(
        setting: &'static str,
        expected: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Setting { setting, expected, source: source.into() }
    }
}
