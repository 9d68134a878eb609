//! The internal port: `/metrics`, `/health` and `/ready` of one process, for operators alone. Never reachable for clients.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, sync::watch};

use crate::Shutdown;

/// What keeps a role from its work, by name; a role reports it, the port tells it.
#[derive(Debug, Clone)]
pub struct Health(Arc<watch::Sender<Vec<&'static str>>>);

impl Health {
    /// Not ready until the role says so.
    #[must_use]
    pub fn starting() -> Self {
        Self(Arc::new(watch::Sender::new(vec!["starting"])))
    }

    /// Sets what is down of what the role needs; nothing means that it can do its work.
    pub fn report(&self, down: Vec<&'static str>) {
        self.0.send_replace(down);
    }

    /// Sets whether the role can do its work, where no dependency is to blame.
    pub fn set_ready(&self, ready: bool) {
        self.report(if ready { Vec::new() } else { vec!["stopping"] });
    }

    /// Whether it can.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// What keeps it from its work.
    #[must_use]
    pub fn down(&self) -> Vec<&'static str> {
        self.0.borrow().clone()
    }
}

/// The roles of a process with their health.
pub type Roles = Vec<(&'static str, Health)>;

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
    pub async fn serve(self, metrics: PrometheusHandle, roles: Roles, shutdown: Shutdown) {
        let roles = Arc::new(roles);
        while let Some(accepted) = shutdown.or(self.listener.accept()).await {
            let Ok((stream, _)) = accepted else {
                // Out of descriptors, mostly: at once, the next try fails as well.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            };
            let (metrics, roles) = (metrics.clone(), roles.clone());
            tokio::spawn(async move {
                let answer = service_fn(move |request: Request<Incoming>| {
                    let answer = answer(request.uri().path(), &metrics, &roles);
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

fn answer(path: &str, metrics: &PrometheusHandle, roles: &[(&'static str, Health)]) -> Response<Full<Bytes>> {
    let (status, text) = match path {
        "/metrics" => (StatusCode::OK, metrics.render()),
        "/health" => (StatusCode::OK, "ok\n".to_owned()),
        "/ready" => readiness(roles),
        _ => (StatusCode::NOT_FOUND, "expected /metrics, /health or /ready\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

/// One line a role, with what it lacks.
fn readiness(roles: &[(&'static str, Health)]) -> (StatusCode, String) {
    let line = |(name, health): &(&'static str, Health)| match health.down().as_slice() {
        [] => format!("{name}: ready\n"),
        down => format!("{name}: not ready: {}\n", down.join(", ")),
    };
    let is_ready = roles.iter().all(|(_, health)| health.is_ready());
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, roles.iter().map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_each_of_its_roles_is_and_says_what_is_down() {
        let (worker, steward) = (Health::starting(), Health::starting());
        let roles = vec![("worker", worker.clone()), ("steward", steward.clone())];
        assert_eq!(readiness(&roles).0, StatusCode::SERVICE_UNAVAILABLE);
        worker.set_ready(true);
        steward.report(vec!["broker"]);
        let (status, text) = readiness(&roles);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(text, "worker: ready\nsteward: not ready: broker\n");
        steward.report(Vec::new());
        assert_eq!(readiness(&roles).0, StatusCode::OK);
    }
}
