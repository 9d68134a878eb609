//! Logs as JSON lines and metrics in Prometheus' text. Control characters are escaped by the encoder, so no client text
//! can forge a line; secrets have types that do not print.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// What may never say more, whatever the operator's filter asks for.
const DRIVERS: &[&str] = &["tokio_postgres=info", "deadpool_postgres=info", "hyper=info", "reqwest=info"];

/// How logs are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    #[default]
    Json,
    /// For people.
    Text,
}

/// Logs or metrics could not be installed: somebody did so before.
#[derive(Debug, thiserror::Error)]
#[error("expected to be the first to install {0}")]
pub struct TelemetryError(&'static str);

/// Writes logs to standard error from now on. `filter` is in the syntax of `RUST_LOG`.
///
/// # Errors
/// When a subscriber is installed already.
pub fn install_logs(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // Below `info` the driver prints the parameters of statements: addresses of people, password hashes.
    let filter = DRIVERS.iter().filter_map(|one| one.parse().ok()).fold(filter, EnvFilter::add_directive);
    let registry = tracing_subscriber::registry().with(filter);
    let installed = match format {
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(true)
                .with_writer(std::io::stderr);
            registry.with(layer).try_init()
        }
        LogFormat::Text => {
            registry.with(tracing_subscriber::fmt::layer().compact().with_writer(std::io::stderr)).try_init()
        }
    };
    installed.map_err(|_| TelemetryError("logs"))
}

/// Collects metrics from now on; the handle renders them.
///
/// # Errors
/// When a recorder is installed already.
pub fn install_metrics() -> Result<PrometheusHandle, TelemetryError> {
    PrometheusBuilder::new()
        .set_buckets(&[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0])
        .map_err(|_| TelemetryError("metrics"))?
        .install_recorder()
        .map_err(|_| TelemetryError("metrics"))
}
