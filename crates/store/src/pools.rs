//! Pools of connections, as a handle of the database needs them. They know of no tenant.

use std::time::Duration;

use deadpool::managed::QueueMode;
use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod, Runtime};
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    StoreError,
    connection::{Connector, Pool, Role},
    lanes::Lanes,
};

/// Connections for the views of one handle: with one, a large scan would hold up every other.
const LANES: usize = 2;

/// Connections for look-ups beside so many others: they are short.
pub(crate) const fn lookers(max_connections: usize) -> usize {
    if max_connections < 8 { 1 } else { max_connections / 4 }
}

/// The lanes of a handle, on connections of their own.
pub(crate) fn lanes(config: &Config, connect: &MakeRustlsConnect, wait: Duration) -> Result<Lanes, StoreError> {
    Ok(Lanes::new(&pool(config, connect, LANES, wait)?, LANES, Role::Tenant))
}

/// Connections that are used again while they are warm.
pub(crate) fn pool(
    config: &Config,
    connect: &MakeRustlsConnect,
    max_connections: usize,
    wait: Duration,
) -> Result<Pool, StoreError> {
    let manager = Manager::from_config(
        config.clone(),
        connect.clone(),
        ManagerConfig { recycling_method: RecyclingMethod::Fast },
    );
    Pool::builder(Connector(manager))
        .max_size(max_connections)
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(wait))
        .create_timeout(Some(Duration::from_secs(5)))
        .recycle_timeout(Some(Duration::from_secs(5)))
        .build()
        .map_err(|_| StoreError::Pool(deadpool_postgres::PoolError::NoRuntimeSpecified))
}
