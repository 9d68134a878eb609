//! One adapter per scanner tool: typed parameters become command lines, recorded output becomes observations.
//! Pure: it starts no process, opens no socket and reads no clock.

mod parameters;
mod rules;
pub mod sample;
mod text;
mod tool;
mod tools;
mod weakness;

pub use parameters::{Parameters, ParamsError};
pub use tool::{Parsed, TaskShape, Tool, split_by_family};
pub use tools::{ALL, find};
