//! `picket netd`: the network helper as a process. It runs as root, so it reads none of the settings that hold secrets,
//! opens no port, and talks to nobody but the kernel and its socket.

use std::{
    os::{fd::AsFd, unix::net::UnixStream},
    path::Path,
};

use picket_kit::{Shutdown, install_logs};
use picket_netd::NetdSettings;
use serde::Deserialize;

use crate::{
    CommandError,
    settings::{LogSection, WELL_KNOWN},
};

/// What the helper reads of the settings; the rest of the file is for others.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sections {
    log: LogSection,
    netd: NetdSettings,
}

/// Serves until a signal.
pub(crate) async fn run(file: Option<&Path>) -> Result<(), CommandError> {
    let io = |what: &str| {
        let what = what.to_owned();
        |source| CommandError::Io { what, source }
    };
    let settings: Sections = picket_kit::load(file, WELL_KNOWN)?;
    install_logs(settings.log.format, &settings.log.filter)?;
    let shutdown = Shutdown::on_signals().map_err(io("cannot listen for signals"))?;
    let (stop, told) = UnixStream::pair().map_err(io("cannot make a pair of sockets"))?;
    tokio::spawn(async move {
        shutdown.wait().await;
        drop(stop);
    });
    tokio::task::spawn_blocking(move || picket_netd::serve(&settings.netd, told.as_fd())).await??;
    Ok(())
}
