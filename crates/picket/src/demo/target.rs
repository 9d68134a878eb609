//! The demo's target: a program of ours with weaknesses that are known and real, for a scan to find. It listens on
//! loopback alone, keeps nothing that it is told, starts nothing, and every connection is bounded in number, time and size.
//!
//! To add a service: a file that speaks it, a variant of `Speaker` and a line in `speakers`.

mod conversation;
mod ftp;
mod mail;
mod screen;
mod secure;
mod shell;
mod sites;
mod web;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use picket_kit::Shutdown;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use self::{secure::CertificateError, web::Site};

/// Connections that one service holds at once; more are closed at once.
const MOST_CONNECTIONS: usize = 64;
/// The longest conversation. Scanners keep connections open while they think.
const LONGEST_CONVERSATION: Duration = Duration::from_secs(60);
/// A pause after an accept that failed, for instance because no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The target cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It would be reachable from other machines.
    #[error("expected a loopback address for the demo target, found {0}")]
    NotLoopback(IpAddr),
    /// No port can be used.
    #[error("the demo target could not listen")]
    Listen(#[source] io::Error),
    /// Its certificate cannot be made.
    #[error("the demo target could not make its certificate")]
    Certificate(#[from] CertificateError),
}

/// One service of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DemoService {
    /// What it speaks.
    pub(super) name: &'static str,
    /// What is weak about it, for people.
    pub(super) weakness: &'static str,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

/// A running target. It ends when it is dropped, or when the shutdown that it was started with is given.
#[derive(Debug)]
pub(super) struct DemoTarget {
    services: Vec<DemoService>,
    _tasks: JoinSet<()>,
}

impl DemoTarget {
    /// Starts all services at `address`, each on a free port.
    ///
    /// # Errors
    /// When the address is not loopback, or no port can be used.
    pub(super) async fn start(address: IpAddr, shutdown: &Shutdown) -> Result<Self, TargetError> {
        if !address.is_loopback() {
            return Err(TargetError::NotLoopback(address));
        }
        let (mut services, mut tasks) = (Vec::new(), JoinSet::new());
        for speaker in speakers()? {
            let listener = TcpListener::bind(SocketAddr::new(address, 0)).await.map_err(TargetError::Listen)?;
            let address = listener.local_addr().map_err(TargetError::Listen)?;
            services.push(DemoService { name: speaker.name(), weakness: speaker.weakness(), address });
            tasks.spawn(serve(listener, speaker, shutdown.clone()));
        }
        Ok(Self { services, _tasks: tasks })
    }

    /// Its address as a scan's target.
    pub(super) fn host(&self) -> String {
        self.services.first().map(|service| service.address.ip().to_string()).unwrap_or_default()
    }

    /// The services, in a fixed order.
    pub(super) fn services(&self) -> &[DemoService] {
        &self.services
    }

    /// The ports as a scan's parameter has them: `4711,4712`.
    pub(super) fn ports(&self) -> String {
        let ports: Vec<String> = self.services.iter().map(|service| service.address.port().to_string()).collect();
        ports.join(",")
    }
}

/// What a service speaks.
#[derive(Clone)]
enum Speaker {
    Ftp,
    Ssh,
    Smtp,
    Vnc,
    Web(&'static Site),
    SecureWeb(&'static Site, TlsAcceptor),
}

fn speakers() -> Result<Vec<Speaker>, TargetError> {
    Ok(vec![
        Speaker::Ftp,
        Speaker::Ssh,
        Speaker::Smtp,
        Speaker::Web(&sites::SHOP),
        Speaker::Web(&sites::FILES),
        Speaker::Web(&sites::ROUTER),
        Speaker::SecureWeb(&sites::PORTAL, secure::expired_acceptor()?),
        Speaker::Vnc,
    ])
}

impl Speaker {
    const fn name(&self) -> &'static str {
        match self {
            Self::Ftp => "ftp",
            Self::Ssh => "ssh",
            Self::Smtp => "smtp",
            Self::Vnc => "vnc",
            Self::Web(_) => "http",
            Self::SecureWeb(..) => "https",
        }
    }

    const fn weakness(&self) -> &'static str {
        match self {
            Self::Ftp => "vsFTPd 2.3.4 that lets everybody in",
            Self::Ssh => "the banner of OpenSSH 7.4",
            Self::Smtp => "Exim 4.87",
            Self::Vnc => "a screen without a password",
            Self::Web(site) | Self::SecureWeb(site, _) => site.weakness,
        }
    }

    async fn speak(&self, stream: TcpStream) -> io::Result<()> {
        match self {
            Self::Ftp => ftp::speak(stream).await,
            Self::Ssh => shell::speak(stream).await,
            Self::Smtp => mail::speak(stream).await,
            Self::Vnc => screen::speak(stream).await,
            Self::Web(site) => web::speak(stream, site).await,
            Self::SecureWeb(site, acceptor) => web::speak(acceptor.accept(stream).await?, site).await,
        }
    }
}

/// Accepts until `shutdown`; the conversations end with it.
async fn serve(listener: TcpListener, speaker: Speaker, shutdown: Shutdown) {
    let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut conversations = JoinSet::new();
    while let Some(accepted) = shutdown.or(listener.accept()).await {
        while conversations.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { continue };
        let speaker = speaker.clone();
        conversations.spawn(async move {
            // How a conversation with a scanner ends is of no interest: most are broken off.
            let _ended = timeout(LONGEST_CONVERSATION, speaker.speak(stream)).await;
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests;
