//! What every role needs to run and nothing of what it does: settings, clock, logs and metrics, the internal port,
//! orderly shutdown, secrets at rest, children that are locked in. Knows no crate of ours.

mod child;
mod clock;
mod confine;
mod internal;
mod sealer;
mod settings;
mod shutdown;
mod telemetry;
mod trace;

pub use child::{ChildBounds, ChildCommand, ChildEnd, ChildError, run_child};
pub use clock::Clock;
pub use confine::{Calls, ConfineError, Confinement};
pub use internal::{Health, InternalPort, InternalPortError, Roles};
pub use sealer::{SealError, Sealer};
pub use settings::{SettingsError, environment, load};
pub use shutdown::Shutdown;
pub use telemetry::{LogFormat, TelemetryError, install_logs, install_metrics};
pub use trace::TraceParent;
