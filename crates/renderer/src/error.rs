//! What can go wrong while a report is rendered, by what the caller does about it.

use std::time::Duration;

/// A report that could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Our own template does not fit the model: a defect of the renderer.
    #[error("the report's template failed")]
    Template(#[source] minijinja::Error),
    /// The model cannot be written as JSON, or the child's note of it cannot be read: a defect of the renderer.
    #[error("expected a report that can be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The child process cannot be started or talked to; worth another try.
    #[error("expected a process that renders PDF")]
    Process(#[source] std::io::Error),
    /// The PDF took longer than allowed.
    #[error("expected the PDF within {} seconds", .0.as_secs())]
    TimedOut(Duration),
    /// The PDF is larger than allowed.
    #[error("expected a PDF of at most {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// The child process ended without a PDF: it ran into its memory limit, or typesetting failed.
    #[error("expected a PDF, but its process ended with {status}: {message}")]
    Child {
        /// How it ended.
        status: String,
        /// What it said, bounded; for the log, never for a client.
        message: String,
    },
}

impl RenderError {
    /// Why there is no report, in words fit for the client.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Template(_) | Self::Json(_) | Self::Process(_) => "the report could not be rendered",
            Self::TimedOut(_) => "rendering took longer than allowed; ask for fewer scans, or for HTML or JSON",
            Self::TooLarge { .. } => "the report is larger than allowed; ask for fewer scans, or for HTML or JSON",
            Self::Child { .. } => {
                "the PDF could not be typeset within its limits; ask for fewer scans, or for HTML or JSON"
            }
        }
    }
    /// Whether another try would end the same way.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Template(_) | Self::Json(_) | Self::TooLarge { .. } => true,
            Self::Process(_) | Self::TimedOut(_) | Self::Child { .. } => false,
        }
    }
}
