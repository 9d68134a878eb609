//! Forward-only migrations under a lock of our own, since the library takes none. Run by `picket migrate`, never by a
//! replica on its own.

use std::hash::{Hash, Hasher};

use tokio_postgres::Config;

use crate::{DbTls, DbTlsError};

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// Any number that nothing else locks: "picket" in ASCII.
const LOCK: i64 = 0x7069_636b_6574;

/// Why the schema could not be brought up to date; nothing of the failed migration remains.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Postgres refused or did not answer.
    #[error("the database did not answer")]
    Driver(#[from] tokio_postgres::Error),
    /// TLS cannot be had.
    #[error(transparent)]
    Tls(#[from] DbTlsError),
    /// A migration failed, or a migration that was applied was changed afterwards.
    #[error("a migration failed")]
    Migration(#[from] refinery::Error),
}

/// Names the schema that [`migrate`] makes: it changes with each migration that is compiled in, also when one is edited in
/// place. Compared within one build alone: the numbers of another one may differ.
#[must_use]
pub fn schema_fingerprint() -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    for migration in embedded::migrations::runner().get_migrations() {
        (migration.version(), migration.checksum()).hash(&mut hasher);
    }
    hasher.finish()
}

/// Brings the schema up to date over a plain connection; returns how many migrations were applied. Two at once wait for each
/// other.
///
/// # Errors
/// When the database does not answer, or a migration fails.
pub async fn migrate(url: &str) -> Result<usize, MigrateError> {
    migrate_secured(url, &DbTls::off()?).await
}

/// The same over a connection that is secured like this.
///
/// # Errors
/// As [`migrate`].
pub async fn migrate_secured(url: &str, tls: &DbTls) -> Result<usize, MigrateError> {
    let mut config: Config = url.parse()?;
    let connect = tls.apply(&mut config);
    let (mut client, connection) = config.connect(connect).await?;
    let driver = tokio::spawn(connection);
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
    let report = embedded::migrations::runner().run_async(&mut client).await;
    client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await?;
    drop(client);
    // The connection ends with its client; how it ends says nothing more.
    let _ended = driver.await;
    Ok(report?.applied_migrations().len())
}
