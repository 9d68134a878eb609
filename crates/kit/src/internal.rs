//! The internal port: `/metrics`, `/health` and `/ready` of one process, for operators alone. Never reachable for clients.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, sync::watch};

use crate::Shutdown;

/// Whether the process can do its work; a role sets it, the port tells it.
#[derive(Debug, Clone)]
pub struct Health(Arc<watch::Sender<bool>>);

impl Health {
    /// Not ready until the role says so.
    #[must_use]
    pub fn starting() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Sets whether the role can do its work now.
    pub fn set_ready(&self, ready: bool) {
        self.0.send_replace(ready);
    }

    /// Whether it can.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.0.borrow()
    }
}

/// The port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("expected to listen on {address}")]
pub struct InternalPortError {
    address: SocketAddr,
    source: std::io::Error,
}

/// An open internal port.
pub struct InternalPort {
    listener: TcpListener,
    /// Where it listens.
    pub address: SocketAddr,
}

impl InternalPort {
    /// Opens the port; port 0 picks a free one.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn open(address: SocketAddr) -> Result<Self, InternalPortError> {
        let failed = |source| InternalPortError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Serves until shutdown.
    pub async fn serve(self, metrics: PrometheusHandle, health: Health, shutdown: Shutdown) {
        while let Some(accepted) = shutdown.or(self.listener.accept()).await {
            let Ok((stream, _)) = accepted else { continue };
            let (metrics, health) = (metrics.clone(), health.clone());
            tokio::spawn(async move {
                let answer = service_fn(move |request| {
                    let answer = answer(&request, &metrics, &health);
                    async move { Ok::<_, Infallible>(answer) }
                });
                // A client that breaks off is its own affair.
                let _served = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(std::time::Duration::from_secs(5))
                    .keep_alive(false)
                    .serve_connection(TokioIo::new(stream), answer)
                    .await;
            });
        }
    }
}

fn answer(request: &Request<Incoming>, metrics: &PrometheusHandle, health: &Health) -> Response<Full<Bytes>> {
    let (status, text) = match request.uri().path() {
        "/metrics" => (StatusCode::OK, metrics.render()),
        "/health" => (StatusCode::OK, "ok\n".to_owned()),
        "/ready" if health.is_ready() => (StatusCode::OK, "ready\n".to_owned()),
        "/ready" => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "expected /metrics, /health or /ready\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}
