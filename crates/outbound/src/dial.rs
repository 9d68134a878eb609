//! Connecting to an address that was judged, and to no other one.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

use crate::{
    Guard, OutboundError, OutboundSettings,
    guard::{Endpoint, EndpointHost},
};

/// So many addresses of a name are tried; the time for connecting is shared among them.
const MOST_TRIES: usize = 4;

/// A connection, with or without TLS.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Connection for T {}

/// Connects, and holds whom it reached against the guard before a byte is sent.
#[derive(Clone)]
pub(crate) struct Dialer {
    tls: TlsConnector,
}

impl Dialer {
    pub(crate) fn new(settings: &OutboundSettings) -> Result<Self, OutboundError> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if let Some(path) = &settings.extra_authorities {
            let setup = |error| OutboundError::Setup("no extra authorities", error);
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| setup(Box::new(error)))? {
                let certificate = certificate.map_err(|error| setup(Box::new(error)))?;
                roots.add(certificate).map_err(|error| setup(Box::new(error)))?;
            }
        }
        if roots.is_empty() {
            tracing::warn!("no certificate authority was found: every call over https will fail");
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| OutboundError::Setup("no tls", Box::new(error)))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// A connection to one of `sockets`, which the guard has judged, until `deadline`.
    pub(crate) async fn dial(
        &self,
        guard: &Guard,
        endpoint: &Endpoint,
        sockets: &[SocketAddr],
        deadline: Instant,
    ) -> Result<(Box<dyn Connection>, SocketAddr), OutboundError> {
        let (stream, socket) = first_reached(sockets, deadline).await?;
        let peer = stream.peer_addr().map_err(OutboundError::Connect)?;
        if peer != socket {
            return Err(OutboundError::RefusedAddress("another host answered"));
        }
        guard.check_address(endpoint, peer.ip())?;
        stream.set_nodelay(true).map_err(OutboundError::Connect)?;
        if !endpoint.tls {
            return Ok((Box::new(stream), peer));
        }
        let name = server_name(endpoint)?;
        let secured = timeout_at(deadline, self.tls.connect(name, stream)).await;
        match secured.map_err(|_| OutboundError::Timeout { phase: "tls handshake" })? {
            Ok(secured) => Ok((Box::new(secured), peer)),
            Err(error) => Err(OutboundError::Tls(error)),
        }
    }
}

/// Tries the addresses in turn; each gets an equal share of the time that is left.
async fn first_reached(sockets: &[SocketAddr], deadline: Instant) -> Result<(TcpStream, SocketAddr), OutboundError> {
    let tries = sockets.len().min(MOST_TRIES);
    let mut last = OutboundError::Connect(io::ErrorKind::AddrNotAvailable.into());
    for (index, socket) in sockets.iter().take(tries).enumerate() {
        let left = u32::try_from(tries.saturating_sub(index)).unwrap_or(1).max(1);
        let now = Instant::now();
        let share = now + deadline.saturating_duration_since(now) / left;
        match timeout_at(share, TcpStream::connect(socket)).await {
            Ok(Ok(stream)) => return Ok((stream, *socket)),
            Ok(Err(error)) => last = OutboundError::Connect(error),
            Err(_) => last = OutboundError::Timeout { phase: "connect" },
        }
    }
    Err(last)
}

fn server_name(endpoint: &Endpoint) -> Result<ServerName<'static>, OutboundError> {
    match &endpoint.host {
        EndpointHost::Address(address) => Ok(ServerName::from(*address)),
        EndpointHost::Name(name) => {
            ServerName::try_from(name.clone()).map_err(|_| OutboundError::RefusedUrl("its host is not a name"))
        }
    }
}
