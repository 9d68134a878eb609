//! What every role needs to run and nothing of what it does: settings, clock, logs and metrics, the internal port,
//! orderly shutdown, secrets at rest. Knows no crate of ours.

mod clock;
mod internal;
mod sealer;
mod settings;
mod shutdown;
mod telemetry;
mod trace;

pub use clock::Clock;
pub use internal::{Health, InternalPort, InternalPortError, Roles};
pub use sealer::{SealError, Sealer};
pub use settings::{SettingsError, environment, load};
pub use shutdown::Shutdown;
pub use telemetry::{LogFormat, TelemetryError, install_logs, install_metrics};
pub use trace::TraceParent;
