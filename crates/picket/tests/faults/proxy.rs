//! A way to a service that can be cut, made to wait, or silent without a word: what a cable, a firewall or a switch does to a
//! connection. Ours, since the kernel of a test machine need not have netem.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// What becomes of what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Everything passes.
    Open,
    /// Everything passes, so much later.
    Slow(Duration),
    /// Nothing passes, and nobody is told: half-open, as after a cable was pulled.
    Silent,
    /// Connections are cut, new ones too.
    Cut,
}

/// A listener in front of a service.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    way: watch::Sender<Way>,
    /// Connections that were made before are silent from then on, for ever.
    forgotten: watch::Sender<()>,
}

impl Proxy {
    /// In front of the service of that URL, on loopback.
    pub(crate) async fn before(url: &str) -> Self {
        Self::at("127.0.0.1", url).await
    }

    /// The same at another address of this machine.
    pub(crate) async fn at(address: &str, url: &str) -> Self {
        let service: SocketAddr = authority(url).parse().expect("an address and a port");
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let (address, (way, ways)) = (listener.local_addr().unwrap(), watch::channel(Way::Open));
        let (forgotten, forgets) = watch::channel(());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, service, ways.clone(), forgets.clone()));
            }
        });
        Self { address, way, forgotten }
    }

    /// The URL of the service, through here.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replacen(authority(url), &self.address.to_string(), 1)
    }

    /// Whatever is connected now stays connected and never hears another word; new connections are as good as ever.
    pub(crate) fn forget(&self) {
        self.forgotten.send_replace(());
    }

    /// From now on. What was silent for a while is cut when it opens again: its bytes are lost.
    pub(crate) fn set(&self, way: Way) {
        println!("{}: {way:?}", self.address);
        self.way.send_replace(way);
    }
}

fn authority(url: &str) -> &str {
    let rest = url.split_once("://").expect("a scheme").1;
    let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
    rest.split(['/', '?']).next().expect("an authority")
}

async fn serve(
    client: TcpStream,
    service: SocketAddr,
    mut ways: watch::Receiver<Way>,
    mut forgets: watch::Receiver<()>,
) {
    forgets.mark_unchanged();
    let way = *ways.borrow_and_update();
    match way {
        Way::Open | Way::Slow(_) => {}
        Way::Cut => return,
        Way::Silent => {
            // Accepted by the kernel, heard by nobody.
            let _ended = ways.wait_for(|way| *way != Way::Silent).await;
            return;
        }
    }
    let Ok(server) = TcpStream::connect(service).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (up, down) =
        (pass(from_client, to_server, ways.clone(), forgets.clone()), pass(from_server, to_client, ways, forgets));
    tokio::select! { () = up => {}, () = down => {} }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut ways: watch::Receiver<Way>,
    mut forgets: watch::Receiver<()>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let way = *ways.borrow_and_update();
        match way {
            Way::Open | Way::Slow(_) => {}
            Way::Cut => return,
            Way::Silent => {
                let _ended = ways.wait_for(|way| *way != Way::Silent).await;
                return;
            }
        }
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            // Held, and never read again.
            _ = forgets.changed() => std::future::pending().await,
            changed = ways.changed() => if changed.is_ok() { continue } else { return },
        };
        let Ok(length @ 1..) = read else { return };
        if let Way::Slow(by) = way {
            tokio::time::sleep(by).await;
        }
        // What was read before the way changed is lost with it.
        if matches!(*ways.borrow(), Way::Silent | Way::Cut) {
            continue;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
