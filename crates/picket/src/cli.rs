//! The command line. Nothing secret is an argument: arguments show in process lists.

mod operate;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

pub use self::operate::{
    AdminCommand, AuditCommand, OrganizationCommand, RangeArguments, UserCommand, VerifyArguments,
};

/// An open vulnerability-scanning platform.
#[derive(Debug, Parser)]
#[command(name = "picket", version, about)]
pub struct Cli {
    /// A TOML file with settings; the environment (`PICKET_<SECTION>__<FIELD>`) wins over it.
    #[arg(long, global = true, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `picket` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring the database's schema up to date.
    Migrate,
    /// Run all roles in one process.
    Up(UpArguments),
    /// Serve the API.
    Gateway,
    /// Run the loops: relay, admission, rescuer.
    Steward,
    /// Run tools in sandboxes.
    Worker,
    /// Prove the sandbox as a worker would, and print what holds.
    Prove,
    /// Deliver webhooks.
    Dispatcher,
    /// Render reports.
    Renderer,
    /// Connect sandboxed tools to the addresses they may reach, and to nobody else (needs root; `docs/netd.md`).
    Netd,
    /// Change what operators may change: plans, locks, the platform's key.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Export and check the audit log.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Print the OpenAPI document.
    Openapi,
    /// Print what a report of a scanner says, without any service; exit 2 for a file that it refuses.
    Parse(ParseArguments),
    /// Scan a demo target through a running API and print what was found.
    Demo(DemoArguments),
    /// The renderer's child: a report model on standard input, a PDF on standard output.
    #[command(hide = true)]
    RenderPdf,
    /// The gateway's child: a stranger's picture on standard input, one of ours on standard output.
    #[command(hide = true)]
    DecodePicture,
}

/// How `picket up` runs.
#[derive(Debug, clap::Args)]
pub struct UpArguments {
    /// Run the demo once everything is up.
    #[arg(long)]
    pub demo: bool,
    /// Stop after the demo, with its success as the exit code.
    #[arg(long, requires = "demo")]
    pub once: bool,
}

/// Where the demo goes.
#[derive(Debug, clap::Args)]
pub struct DemoArguments {
    /// The address of the API.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub api: String,
    /// Where reports are written.
    #[arg(long, default_value = "target/demo", value_name = "FOLDER")]
    pub output: PathBuf,
}

/// Which report is read, and how it is printed.
#[derive(Debug, clap::Args)]
pub struct ParseArguments {
    /// The report; `-` reads standard input.
    pub file: PathBuf,
    /// The tool that wrote it; without it the content tells.
    #[arg(long)]
    pub tool: Option<String>,
    /// How findings are printed.
    #[arg(long, value_enum, default_value_t = ParseFormat::Json)]
    pub format: ParseFormat,
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ParseFormat {
    /// One JSON object.
    Json,
    /// SARIF 2.1.0.
    Sarif,
    /// Lines for the eye.
    Table,
}
