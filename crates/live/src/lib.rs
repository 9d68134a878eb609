//! The only crate that speaks Redis: what all gateways share and what may be lost. Nothing here is the truth; whoever asks
//! must know what to do when there is no answer, and gets that answer within milliseconds.

mod error;
mod hint;
mod limit;
mod live;
mod settings;
mod throttle;

pub use error::LiveError;
pub use hint::Hints;
pub use limit::{Count, Rate};
pub use live::Live;
pub use settings::LiveSettings;
pub use throttle::{TryEnd, TryLimits, TryPlace};
