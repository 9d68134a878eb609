//! `picket up`: all roles in one process, over the same broker and the same database as many processes would use.
//! What is missing in the settings of a development machine is made here, and nowhere else.

use std::{
    fs::OpenOptions,
    io::Write,
    net::{SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use picket_gateway::generate_signing_key;
use picket_kit::{Health, InternalPort, Roles, Sealer, Shutdown, install_metrics};
use picket_store::Db;
use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinSet;

use crate::{
    CommandError, Settings, UpArguments, demo,
    roles::{Parts, watch_database},
};

/// Runs all roles until a signal, or until the demo is over.
pub(crate) async fn run(mut settings: Settings, arguments: &UpArguments) -> Result<(), CommandError> {
    let shutdown = Shutdown::on_signals().map_err(io("cannot listen for signals"))?;
    complete(&mut settings)?;
    let metrics = install_metrics()?;
    let port = InternalPort::open(settings.internal.listen).await?;
    let internal = port.address;
    let parts = Arc::new(Parts::new(settings)?);
    let gateway = parts.gateway()?;
    let api = format!("http://{}", gateway.address());
    let mut roles = JoinSet::new();
    let serving = shutdown.clone();
    roles.spawn(async move { Ok::<_, CommandError>(gateway.serve(serving).await?) });
    let healths = start(&mut roles, &parts, &shutdown);
    tokio::spawn(port.serve(metrics, healths, shutdown.clone()));
    println!("picket: API        {api}/api/v1");
    println!("picket: reference  {api}/docs");
    println!("picket: metrics    http://{internal}/metrics");

    let demo =
        async { if arguments.demo { demonstrate(&api, &parts.db, arguments.once, &shutdown).await } else { Ok(()) } };
    let (demonstrated, ended) = tokio::join!(demo, until_end(roles, shutdown.clone()));
    ended.and(demonstrated)
}

/// Starts every role but the gateway; returns what each tells of itself, the gateway too.
fn start(roles: &mut JoinSet<Result<(), CommandError>>, parts: &Arc<Parts>, shutdown: &Shutdown) -> Roles {
    let names = ["gateway", "steward", "worker", "dispatcher", "renderer"];
    let healths = names.map(|_| Health::starting());
    let [gateway, steward, worker, dispatcher, renderer] = healths.clone();
    tokio::spawn(watch_database(parts.db.clone(), gateway, shutdown.clone()));
    let of = || (parts.clone(), shutdown.clone());
    let (parts, stop) = of();
    roles.spawn(async move { parts.steward(steward, stop).await });
    let (parts, stop) = of();
    roles.spawn(async move { parts.worker(false, worker, stop).await });
    let (parts, stop) = of();
    roles.spawn(async move { parts.dispatcher(dispatcher, stop).await });
    let (parts, stop) = of();
    roles.spawn(async move { parts.renderer(renderer, stop).await });
    names.into_iter().zip(healths).collect()
}

/// Waits for all roles; the first that fails stops the others.
async fn until_end(mut roles: JoinSet<Result<(), CommandError>>, shutdown: Shutdown) -> Result<(), CommandError> {
    let mut first = Ok(());
    while let Some(ended) = roles.join_next().await {
        let ended = ended.map_err(CommandError::from).and_then(|ended| ended);
        shutdown.stop();
        first = first.and(ended);
    }
    first
}

async fn demonstrate(api: &str, db: &Db, once: bool, shutdown: &Shutdown) -> Result<(), CommandError> {
    let (api, output) = (api.to_owned(), PathBuf::from("target/demo"));
    let settings = demo::DemoSettings { api, output, operator: Some(db.clone()) };
    let shown = shutdown.or(demo::run(settings)).await;
    let failed = matches!(shown, None | Some(Err(_)));
    if once || failed {
        shutdown.stop();
    } else {
        println!("picket: serving until Ctrl-C");
    }
    match shown {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(error.into()),
        None => Err(CommandError::Missing("the end of the demo: it was interrupted")),
    }
}

/// Fills in what a development machine has no settings for.
fn complete(settings: &mut Settings) -> Result<(), CommandError> {
    if settings.sealing_key.is_none() {
        settings.sealing_key = Some(kept_key(&settings.state_dir.join("sealing.key"), Sealer::generate_key)?);
    }
    if settings.gateway.signing_key.is_none() {
        let path = settings.state_dir.join("signing.key");
        settings.gateway.signing_key = Some(kept_key(&path, generate_signing_key)?);
    }
    settings.gateway.listen = free(settings.gateway.listen);
    settings.internal.listen = free(settings.internal.listen);
    Ok(())
}

/// The address, or one with a free port when another run has it.
fn free(wanted: SocketAddr) -> SocketAddr {
    if TcpListener::bind(wanted).is_ok() { wanted } else { SocketAddr::new(wanted.ip(), 0) }
}

/// A key of this development stack; made once, since its database, and with it sessions and secrets, is kept between runs.
fn kept_key(path: &Path, make: impl FnOnce() -> SecretString) -> Result<SecretString, CommandError> {
    if let Ok(key) = std::fs::read_to_string(path) {
        return Ok(SecretString::from(key));
    }
    let key = make();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(io("cannot make the state folder"))?;
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io("cannot keep a key"))?;
    file.write_all(key.expose_secret().as_bytes()).map_err(io("cannot keep a key"))?;
    Ok(key)
}

fn io(what: &str) -> impl FnOnce(std::io::Error) -> CommandError {
    let what = what.to_owned();
    move |source| CommandError::Io { what, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state").join("signing.key");
        let first = kept_key(&path, generate_signing_key).unwrap();
        assert!(first.expose_secret().starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = kept_key(&path, generate_signing_key).unwrap();
        assert_eq!(first.expose_secret(), again.expose_secret());
    }
}
