//! The W3C `traceparent`: what joins a request's logs with those of the worker that does its tasks.
//! A client's value is taken over only when it has the exact form, so it can carry nothing else into a log.

use std::{fmt, str::FromStr};

/// `00-<32 hex>-<16 hex>-<2 hex>` (W3C Trace Context, version 00).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent {
    trace_id: String,
    span_id: String,
    sampled: bool,
}

/// A text that is not a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a W3C traceparent of version 00")]
pub struct TraceParentError;

impl TraceParent {
    /// Begins a trace.
    #[must_use]
    pub fn begin() -> Self {
        Self { trace_id: random_hex(32), span_id: random_hex(16), sampled: true }
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { span_id: random_hex(16), ..self.clone() }
    }

    /// The id that all spans of the trace share.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        &self.trace_id
    }
}

/// So many random digits, 32 at most: every request has some, so they are written in one go.
fn random_hex(digits: usize) -> String {
    let mut all = format!("{:032x}", rand::random::<u128>());
    all.truncate(digits);
    all
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

impl FromStr for TraceParent {
    type Err = TraceParentError;

    fn from_str(text: &str) -> Result<Self, TraceParentError> {
        let hex = |part: &str, length: usize| {
            let fits = part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            (fits && part.bytes().any(|byte| byte != b'0')).then(|| part.to_owned()).ok_or(TraceParentError)
        };
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(TraceParentError);
        if next()? != "00" {
            return Err(TraceParentError);
        }
        let (trace_id, span_id) = (hex(next()?, 32)?, hex(next()?, 16)?);
        let flags = next()?;
        if parts.next().is_some() || flags.len() != 2 {
            return Err(TraceParentError);
        }
        let flags = u8::from_str_radix(flags, 16).map_err(|_| TraceParentError)?;
        Ok(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_survives_its_header() {
        let trace = TraceParent::begin();
        assert_eq!(trace.to_string().parse::<TraceParent>().unwrap(), trace);
        assert_eq!(trace.child().trace_id(), trace.trace_id());
        assert_ne!(trace.child(), trace);
    }

    #[test]
    fn anything_else_is_refused() {
        let zero = format!("00-{}-{}-01", "0".repeat(32), "1".repeat(16));
        let long = format!("00-{}-{}-01-x", "1".repeat(32), "1".repeat(16));
        let upper = format!("00-{}-{}-01", "A".repeat(32), "1".repeat(16));
        for text in ["", "00", "01-1-1-1", "00-\n-1-1", &zero, &long, &upper] {
            assert_eq!(text.parse::<TraceParent>(), Err(TraceParentError), "{text:?}");
        }
    }
}
