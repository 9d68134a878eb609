//! Why a call failed. The display of an error is for our logs; a customer is shown [`ErrorClass::text`] alone.

use std::io;

use crate::LookupFailed;

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The URL cannot be called whatever its address is.
    #[error("expected a url that may be called: {0}")]
    RefusedUrl(&'static str),

    /// The name has no usable address.
    #[error("the name could not be resolved")]
    Dns(#[from] LookupFailed),

    /// An address is not allowed, or not with this scheme or port.
    #[error("expected a public address or one the operator allows: {0}")]
    RefusedAddress(&'static str),

    /// Nobody accepted the connection.
    #[error("no connection to the host")]
    Connect(#[source] io::Error),

    /// The host's TLS or certificate was not acceptable.
    #[error("no secure connection to the host")]
    Tls(#[source] io::Error),

    /// It took too long.
    #[error("the {phase} took too long")]
    Timeout {
        /// What was being done.
        phase: &'static str,
    },

    /// Headers, or a body that must be whole, went over their limit.
    #[error("the answer was larger than allowed")]
    TooLarge,

    /// What came back was not HTTP, or ended too early.
    #[error("the answer was not complete http")]
    Protocol(#[source] hyper::Error),

    /// The answer was complete but not what was asked for.
    #[error("expected {0}")]
    Unexpected(&'static str),

    /// The client could not be set up.
    #[error("the outbound client cannot start: {0}")]
    Setup(&'static str, #[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The kind of a failure: for metrics, the attempt log, and customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The URL is not allowed.
    RefusedUrl,
    /// The name does not resolve.
    Dns,
    /// The address is not allowed.
    RefusedAddress,
    /// No connection.
    Connect,
    /// No secure connection.
    Tls,
    /// Too slow.
    Timeout,
    /// Too large.
    TooLarge,
    /// Not HTTP.
    Protocol,
    /// Not what was asked for.
    Unexpected,
    /// Our own fault.
    Internal,
}

impl ErrorClass {
    /// The name in metrics and in the attempt log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RefusedUrl => "refused_url",
            Self::Dns => "dns",
            Self::RefusedAddress => "refused_address",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Protocol => "protocol",
            Self::Unexpected => "unexpected",
            Self::Internal => "internal",
        }
    }

    /// What a customer may read. It depends on the class alone, so it cannot tell anything about our network.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::RefusedUrl => "this url may not be called",
            Self::Dns => "the host name could not be resolved",
            Self::RefusedAddress => "the host's address may not be called",
            Self::Connect => "the host did not accept the connection",
            Self::Tls => "no secure connection to the host was possible",
            Self::Timeout => "the host took too long to answer",
            Self::TooLarge => "the host's answer was too large",
            Self::Protocol => "the host's answer was not complete http",
            Self::Unexpected => "the host answered with something else than expected",
            Self::Internal => "the call could not be made",
        }
    }
}

impl OutboundError {
    /// The kind of the failure.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::RefusedUrl(_) => ErrorClass::RefusedUrl,
            Self::Dns(_) => ErrorClass::Dns,
            Self::RefusedAddress(_) => ErrorClass::RefusedAddress,
            Self::Connect(_) => ErrorClass::Connect,
            Self::Tls(_) => ErrorClass::Tls,
            Self::Timeout { .. } => ErrorClass::Timeout,
            Self::TooLarge => ErrorClass::TooLarge,
            Self::Protocol(_) => ErrorClass::Protocol,
            Self::Unexpected(_) => ErrorClass::Unexpected,
            Self::Setup(..) => ErrorClass::Internal,
        }
    }
}

impl From<hyper::Error> for OutboundError {
    fn from(error: hyper::Error) -> Self {
        if error.is_parse_too_large() { Self::TooLarge } else { Self::Protocol(error) }
    }
}
