//! Why deliveries could not be made or sent for reasons of our own. A receiver's failure is no error: it is an attempt.

use picket_kit::SealError;
use picket_store::StoreError;

use crate::PayloadError;

/// A failure of the dispatcher itself.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An event makes no body.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// A webhook's secret cannot be read with the platform's key.
    #[error("expected a webhook's secret that the platform's key opens")]
    Secret(#[from] SealError),
    /// A webhook's secret is not what we make.
    #[error("expected a webhook's secret of 32 bytes")]
    SecretLength,
}

/// An error with its sources, as a log takes it.
pub(crate) fn cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    error
}
