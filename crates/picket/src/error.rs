//! Why a command ended, for a person at a terminal, with the exit code that scripts see.

use std::{path::PathBuf, process::ExitCode};

use picket_worker::WorkerError;

use crate::audit;

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
    Worker(#[from] WorkerError),
    /// The network helper.
    #[error(transparent)]
    Netd(#[from] picket_netd::ServeError),
    /// The mail server's settings.
    #[error(transparent)]
    Mailer(#[from] picket_dispatcher::MailerError),
    /// The object store.
    #[error(transparent)]
    Blobs(#[from] picket_blobs::BlobError),
    /// Redis' URL.
    #[error(transparent)]
    Live(#[from] picket_live::LiveError),
    /// What may be scanned.
    #[error("gateway.allow_targets: {0}")]
    AllowTargets(picket_domain::AllowListError),
    /// What is never scanned.
    #[error("gateway.deny_targets: {0}")]
    DenyTargets(picket_domain::DenyListError),
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
    /// There is nothing of that name to administer.
    #[error("expected {0} that exists")]
    Unknown(&'static str),
    /// Secrets were left that no key opens.
    #[error("{0} secrets cannot be opened with `sealing_key` or any of `previous_sealing_keys`")]
    Unreadable(u64),
    /// Secrets changed again and again while they were sealed anew.
    #[error("{0} secrets changed while they were sealed anew; run it again")]
    Unsettled(u64),
    /// The audit log is not what was written.
    #[error("the audit log is broken: {0}")]
    Broken(audit::Fault),
    /// The audit log could not be checked.
    #[error("the audit log could not be checked")]
    Unchecked(#[source] Box<Self>),
    /// A file is not what it should be.
    #[error("{path}: expected {expected}")]
    File {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// A report that is none, is of another tool, or is hostile.
    #[error("refused: {0}")]
    Refused(String),
    /// A role ended in a panic.
    #[error("a role broke")]
    Role(#[from] tokio::task::JoinError),
}

impl CommandError {
    /// 78 (`EX_CONFIG`) for what an operator must set right, 2 when an audit log could not be checked or a report is
    /// refused, 1 for the rest.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Settings(_)
            | Self::Missing(_)
            | Self::Key(_)
            | Self::Mailer(_)
            | Self::AllowTargets(_)
            | Self::DenyTargets(_)
            | Self::Netd(
                picket_netd::ServeError::Unprivileged
                | picket_netd::ServeError::Settings(_)
                | picket_netd::ServeError::Folder,
            )
            | Self::Worker(
                WorkerError::Unproven(_)
                | WorkerError::NotProven { .. }
                | WorkerError::BelowMinimum { .. }
                | WorkerError::Pool { .. }
                | WorkerError::Simulator,
            ) => ExitCode::from(78),
            Self::Unchecked(_) | Self::Refused(_) => ExitCode::from(2),
            Self::Migrate(_)
            | Self::Store(_)
            | Self::Gateway(_)
            | Self::Worker(_)
            | Self::Netd(_)
            | Self::Blobs(_)
            | Self::Live(_)
            | Self::Outbound(_)
            | Self::Telemetry(_)
            | Self::Internal(_)
            | Self::Demo(_)
            | Self::Io { .. }
            | Self::Json(_)
            | Self::Unknown(_)
            | Self::Unreadable(_)
            | Self::Unsettled(_)
            | Self::Broken(_)
            | Self::File { .. }
            | Self::Role(_) => ExitCode::FAILURE,
        }
    }
}
