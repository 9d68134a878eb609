//! The listeners: plain or TLS 1.3 alone, and in the latter case one that sends plain requests there.

mod certificate;
mod cors;
pub(crate) mod readers;
mod redirect;

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    App as Web, HttpRequest, HttpServer,
    dev::{Server, ServerHandle},
    middleware::{Compress, Condition, from_fn},
    web::{Data, to},
};
use futures_util::future::try_join_all;
use picket_kit::Shutdown;
use picket_store::Db;
use utoipa_actix_web::AppExt;

use self::certificate::Certificate;
use crate::{
    App, AppParts, GatewayError, GatewaySettings,
    front::front,
    identify::{Callers, watch},
    routes,
    streams::Streams,
};

/// How long requests in flight may take once the gateway stops, in seconds.
const DRAIN_SECONDS: u64 = 20;
/// How long a client of the redirecting listener may take over its headers, any client over saying goodbye, and over a
/// handshake.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A gateway that listens.
pub struct Gateway {
    servers: Vec<Server>,
    address: SocketAddr,
    redirect_address: Option<SocketAddr>,
    certificate: Option<Arc<Certificate>>,
    db: Db,
    callers: Arc<Callers>,
    streams: Arc<Streams>,
}

impl Gateway {
    /// Opens the listeners; requests are served once [`Gateway::serve`] runs.
    ///
    /// # Errors
    /// A setting that cannot be used, or an address that cannot be had.
    pub fn bind(parts: AppParts, settings: GatewaySettings) -> Result<Self, GatewayError> {
        let app = App::new(parts, settings)?;
        let settings = app.settings.clone();
        let certificate = settings.tls.as_ref().map(Certificate::open).transpose()?;
        let (db, callers, streams) = (app.db.clone(), app.callers.clone(), app.streams.clone());
        let (server, address) = api(app, certificate.as_ref())?;
        let mut gateway =
            Self { servers: vec![server], address, redirect_address: None, certificate, db, callers, streams };
        if let Some(tls) = &settings.tls {
            let (server, redirect_address) = redirector(tls.redirect_address(settings.listen), address.port())?;
            gateway.servers.push(server);
            gateway.redirect_address = Some(redirect_address);
        }
        Ok(gateway)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it redirects plain requests from.
    #[must_use]
    pub const fn redirect_address(&self) -> Option<SocketAddr> {
        self.redirect_address
    }

    /// Serves until shutdown, then finishes the requests in flight.
    ///
    /// # Errors
    /// When a listener fails.
    pub async fn serve(self, shutdown: Shutdown) -> Result<(), GatewayError> {
        tracing::info!(address = %self.address, "the gateway listens");
        let handles = self.servers.iter().map(Server::handle).collect();
        if let Some(certificate) = self.certificate {
            tokio::spawn(certificate.watch(shutdown.clone()));
        }
        let watcher = tokio::spawn(watch(self.db, self.callers, shutdown.clone()));
        let listener = tokio::spawn(self.streams.listen(shutdown.clone()));
        let stopper = tokio::spawn(stop(handles, shutdown));
        let served = try_join_all(self.servers).await;
        watcher.abort();
        listener.abort();
        stopper.abort();
        served?;
        Ok(())
    }
}

/// The listener of the API.
fn api(app: App, certificate: Option<&Arc<Certificate>>) -> Result<(Server, SocketAddr), GatewayError> {
    let settings = app.settings.clone();
    let origins = cors::origins(&settings.cors_origins)?;
    let cores = || std::thread::available_parallelism().map_or(2, usize::from);
    let threads = if settings.threads == 0 { cores() } else { settings.threads };
    let patience = Duration::from_millis(u64::from(settings.stalled_ms));
    // Called once by each thread.
    let server = HttpServer::new(move || {
        Web::new()
            .app_data(Data::new(app.for_one_of(threads)))
            .wrap(Compress::default())
            .wrap(from_fn(front))
            .wrap(Condition::new(!origins.is_empty(), cors::middleware(&origins)))
            .into_utoipa_app()
            .configure(routes::configure)
            .into_app()
    })
    .on_connect(move |io, data| readers::meet(io, data, patience))
    .client_request_timeout(Duration::from_millis(u64::from(settings.request_timeout_ms)))
    .client_disconnect_timeout(GOODBYE_TIMEOUT)
    .tls_handshake_timeout(HANDSHAKE_TIMEOUT)
    .max_connections(settings.max_connections)
    .keep_alive(Duration::from_secs(75))
    .shutdown_timeout(DRAIN_SECONDS)
    .workers(threads)
    .disable_signals();
    let listener = listener(&settings)?;
    let server = match certificate {
        Some(certificate) => server.listen_rustls_0_23(listener, certificate.config()?)?,
        None => server.listen(listener)?,
    };
    let address = server.addrs().first().copied().unwrap_or(settings.listen);
    Ok((server.run(), address))
}

/// A socket whose connections end when their client takes nothing of what waits for it. The server has no such time of its
/// own: without, a client that reads nothing would hold a long answer in our memory for as long as it likes. Connections have
/// what their listener has (tcp(7), `TCP_USER_TIMEOUT`).
fn listener(settings: &GatewaySettings) -> Result<TcpListener, GatewayError> {
    let listener = TcpListener::bind(settings.listen)?;
    rustix::net::sockopt::set_tcp_user_timeout(&listener, settings.stalled_ms).map_err(std::io::Error::from)?;
    // Else megabytes of an answer could be the kernel's before its client took a byte.
    socket2::SockRef::from(&listener).set_tcp_notsent_lowat(readers::SLICE)?;
    Ok(listener)
}

/// The listener that sends plain requests to `port`.
fn redirector(listen: SocketAddr, port: u16) -> Result<(Server, SocketAddr), GatewayError> {
    let server = HttpServer::new(move || {
        Web::new().default_service(to(move |request: HttpRequest| async move { redirect::redirect(&request, port) }))
    })
    .workers(1)
    .client_request_timeout(REQUEST_TIMEOUT)
    .client_disconnect_timeout(GOODBYE_TIMEOUT)
    .disable_signals()
    .bind(listen)
    .map_err(|error| GatewayError::setting("tls.redirect_listen", "an address that is free, for plain HTTP", error))?;
    let address = server.addrs().first().copied().unwrap_or(listen);
    Ok((server.run(), address))
}

async fn stop(handles: Vec<ServerHandle>, shutdown: Shutdown) {
    shutdown.wait().await;
    futures_util::future::join_all(handles.iter().map(|handle| handle.stop(true))).await;
}

/// Runs the gateway until shutdown.
///
/// # Errors
/// A setting that cannot be used, or a listener that fails.
pub async fn run(parts: AppParts, settings: GatewaySettings, shutdown: Shutdown) -> Result<(), GatewayError> {
    Gateway::bind(parts, settings)?.serve(shutdown).await
}
