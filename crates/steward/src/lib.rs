//! The loops that keep everything moving: the relay brings events to the broker, admission lets ready tasks to the
//! workers and a courier brings their messages at once, the rescuer takes back what a dead worker held, the scheduler makes
//! what is due, the halter stops what an operator has stopped, proofs looks again whether targets are still proven, and
//! fallen ends what waits for a scan that nothing allows any more. The cleaner takes away what has ended long ago, retention
//! the results that are older than their organization keeps them, the measurer tells how long tools take, pages makes the
//! tasks of wide plans.
//!
//! Each loop takes no input, is woken by a hint and by a timer, and may run in any number of processes at once: what must
//! not be done twice is decided by a row's state in Postgres, never by who is leader.

mod admission;
mod artifacts;
mod cleaner;
mod courier;
mod dead_letters;
mod excluded;
mod fallen;
mod halter;
mod measurer;
mod orphans;
mod pages;
mod proofs;
mod relay;
mod reporter;
mod rescuer;
mod retention;
mod rounds;
mod scheduler;
mod settings;

pub use admission::Admission;
pub use artifacts::Artifacts;
pub use cleaner::Cleaner;
pub use courier::{Courier, Hand};
pub use dead_letters::DeadLetters;
pub use excluded::Excluded;
pub use fallen::Fallen;
pub use halter::Halter;
pub use measurer::Measurer;
pub use orphans::Orphans;
pub use pages::Pages;
pub use proofs::Proofs;
pub use relay::Relay;
pub use rescuer::Rescuer;
pub use retention::Retention;
pub use rounds::{Parts, RoundError, run};
pub use scheduler::Scheduler;
pub use settings::StewardSettings;
