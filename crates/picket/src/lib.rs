//! The command `picket`: all roles in one program, each also alone. It puts parts together and decides nothing.

mod admin;
mod audit;
mod cli;
mod commands;
mod demo;
mod error;
mod netd;
mod openapi;
mod parse;
mod roles;
mod settings;
mod up;

pub use cli::{
    AdminCommand, AuditCommand, Cli, Command, DemoArguments, OrganizationCommand, ParseArguments, ParseFormat,
    RangeArguments, UpArguments, UserCommand, VerifyArguments,
};
pub use commands::main;
pub use error::CommandError;
pub use settings::Settings;
