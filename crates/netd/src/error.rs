//! Why a namespace was not connected.

use std::io;

/// Why a namespace was not connected.
#[derive(Debug, thiserror::Error)]
pub enum NetdError {
    /// The helper is not there, or does not answer.
    #[error("the network helper does not answer")]
    Unreachable(#[source] io::Error),
    /// The helper refused; the text says what it expected.
    #[error("the network helper refused: {0}")]
    Refused(String),
    /// The node's policy forbids what was asked for, now and later; the text says what it expects.
    #[error("the network helper refused: {0}")]
    Forbidden(String),
    /// A step of the kernel failed.
    #[error("cannot {step}")]
    Kernel {
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}
