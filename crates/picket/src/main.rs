//! The program `picket`: one subcommand per role. What it does is in the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    picket::main(picket::Cli::parse())
}
