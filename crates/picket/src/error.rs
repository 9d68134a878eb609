//! Why a command ended, for a person at a terminal, with the exit code that scripts see.

use std::process::ExitCode;

/// A failed command.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The settings are wrong or incomplete.
    #[error(transparent)]
    Settings(#[from] picket_kit::SettingsError),
    /// A setting is missing that this command needs.
    #[error("expected the setting `{0}`")]
    Missing(&'static str),
    /// The platform's key cannot be used.
    #[error("sealing_key: {0}")]
    Key(#[from] picket_kit::SealError),
    /// The schema.
    #[error(transparent)]
    Migrate(#[from] picket_store::MigrateError),
    /// The database.
    #[error(transparent)]
    Store(#[from] picket_store::StoreError),
    /// The gateway.
    #[error(transparent)]
    Gateway(#[from] picket_gateway::GatewayError),
    /// The worker.
    #[error(transparent)]
    Worker(#[from] picket_worker::WorkerError),
    /// The mail server's settings.
    #[error(transparent)]
    Mailer(#[from] picket_dispatcher::MailerError),
    /// The object store.
    #[error(transparent)]
    Blobs(#[from] picket_blobs::BlobError),
    /// Redis' URL.
    #[error(transparent)]
    Live(#[from] picket_live::LiveError),
    /// The way out.
    #[error(transparent)]
    Outbound(#[from] picket_outbound::OutboundError),
    /// Logs or metrics.
    #[error(transparent)]
    Telemetry(#[from] picket_kit::TelemetryError),
    /// The internal port.
    #[error(transparent)]
    Internal(#[from] picket_kit::InternalPortError),
    /// The demo.
    #[error(transparent)]
    Demo(#[from] crate::demo::DemoError),
    /// A file, or a signal handler.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The document has no text form.
    #[error("the OpenAPI document cannot be written")]
    Json(#[from] serde_json::Error),
    /// A role ended in a panic.
    #[error("a role broke")]
    Role(#[from] tokio::task::JoinError),
}

impl CommandError {
    /// 78 (`EX_CONFIG`) for what an operator must set right, 1 for the rest.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Settings(_)
            | Self::Missing(_)
            | Self::Key(_)
            | Self::Mailer(_)
            | Self::Worker(picket_worker::WorkerError::Unproven(_)) => ExitCode::from(78),
            Self::Migrate(_)
            | Self::Store(_)
            | Self::Gateway(_)
            | Self::Worker(_)
            | Self::Blobs(_)
            | Self::Live(_)
            | Self::Outbound(_)
            | Self::Telemetry(_)
            | Self::Internal(_)
            | Self::Demo(_)
            | Self::Io { .. }
            | Self::Json(_)
            | Self::Role(_) => ExitCode::FAILURE,
        }
    }
}
