//! How an error is given to a log: whole, with its causes, and without a cast.

use std::error::Error;

/// The error as a log's field takes it, e.g. `tracing::warn!(error = cause(&error), "…")`; its causes are logged with it.
#[must_use]
pub fn cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    error
}
