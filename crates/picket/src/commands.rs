//! From the command line to the role that does it.

use std::{error::Error, path::Path, process::ExitCode};

use picket_kit::{Health, InternalPort, Shutdown, install_logs, install_metrics};
use secrecy::ExposeSecret;

use crate::{
    Cli, Command, CommandError, Settings, admin, audit, demo, netd, openapi, parse,
    roles::{Parts, watch_database},
    settings::WELL_KNOWN,
    up,
};

/// Runs the command; errors go to standard error with their causes.
#[must_use]
pub fn main(cli: Cli) -> ExitCode {
    picket_faults::arm();
    // One TLS implementation in the program; a second call would only say that this one was first.
    let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // Before any runtime: they limit their own memory and calls.
    if let Command::RenderPdf = cli.command {
        return picket_renderer::child_main();
    }
    if let Command::DecodePicture = cli.command {
        return picket_gateway::decode_picture_main();
    }
    match run(cli.command, cli.settings.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("picket: {}", with_causes(&error));
            error.exit_code()
        }
    }
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Errors that only pass another one on say the same twice.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

#[tokio::main]
async fn run(command: Command, file: Option<&Path>) -> Result<(), CommandError> {
    match command {
        Command::Openapi => openapi::print(),
        Command::Parse(arguments) => parse::run(&arguments),
        Command::Demo(arguments) => Ok(demo::run(demo::DemoSettings::of(&arguments)).await.map(drop)?),
        Command::Admin(command) => admin::run(configure(file)?, command).await,
        Command::Audit(command) => audit::run(file, command).await,
        Command::Netd => netd::run(file).await,
        Command::Migrate => migrate(&configure(file)?).await,
        Command::Up(arguments) => up::run(configure(file)?, &arguments).await,
        Command::Gateway => alone(configure(file)?, Role::Gateway).await,
        Command::Steward => alone(configure(file)?, Role::Steward).await,
        Command::Worker => alone(configure(file)?, Role::Worker).await,
        Command::Prove => prove(&configure(file)?).await,
        Command::Dispatcher => alone(configure(file)?, Role::Dispatcher).await,
        Command::Renderer => alone(configure(file)?, Role::Renderer).await,
        Command::RenderPdf | Command::DecodePicture => Ok(()),
    }
}

/// Reads the settings and begins to log.
pub(crate) fn configure(file: Option<&Path>) -> Result<Settings, CommandError> {
    let settings: Settings = picket_kit::load(file, WELL_KNOWN)?;
    install_logs(settings.log.format, &settings.log.filter)?;
    Ok(settings)
}

async fn migrate(settings: &Settings) -> Result<(), CommandError> {
    let tls = settings.database.secured().map_err(picket_store::MigrateError::from)?;
    let applied = picket_store::migrate_secured(settings.database.url.expose_secret(), &tls).await?;
    eprintln!("picket: {applied} migrations applied");
    Ok(())
}

/// One line per level that was tried, strongest first.
async fn prove(settings: &Settings) -> Result<(), CommandError> {
    let proof = picket_worker::prove(&settings.worker).await?;
    for attempt in &proof.attempts {
        println!("{} {}", attempt.level.name(), attempt.failure.as_deref().unwrap_or("holds"));
    }
    println!("level {}, raw sockets {}", proof.level.name(), if proof.raw { "confined" } else { "not available" });
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Role {
    Gateway,
    Steward,
    Worker,
    Dispatcher,
    Renderer,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Steward => "steward",
            Self::Worker => "worker",
            Self::Dispatcher => "dispatcher",
            Self::Renderer => "renderer",
        }
    }
}

/// One role with its internal port, until a signal.
async fn alone(settings: Settings, role: Role) -> Result<(), CommandError> {
    let io = |source| CommandError::Io { what: "cannot listen for signals".to_owned(), source };
    let shutdown = Shutdown::on_signals().map_err(io)?;
    let (metrics, health) = (install_metrics()?, Health::starting());
    let port = InternalPort::open(settings.internal.listen).await?;
    tokio::spawn(port.serve(metrics, vec![(role.name(), health.clone())], shutdown.clone()));
    let parts = Parts::new(settings)?;
    match role {
        Role::Gateway => {
            let gateway = parts.gateway()?;
            tokio::spawn(watch_database(parts.db.clone(), health, shutdown.clone()));
            Ok(gateway.serve(shutdown).await?)
        }
        Role::Steward => {
            parts.steward(health, shutdown).await?;
            Ok(())
        }
        Role::Worker => parts.worker(true, health, shutdown).await,
        Role::Dispatcher => parts.dispatcher(health, shutdown).await,
        Role::Renderer => parts.renderer(health, shutdown).await,
    }
}
