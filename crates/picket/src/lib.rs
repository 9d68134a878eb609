//! The command `picket`: all roles in one program, each also alone. It puts parts together and decides nothing.

mod cli;
mod commands;
mod demo;
mod error;
mod openapi;
mod roles;
mod settings;
mod up;

pub use cli::{Cli, Command, DemoArguments, UpArguments};
pub use commands::main;
pub use error::CommandError;
pub use settings::Settings;
