//! An open transaction on a connection of the pool. Begins in one round trip, scope included; the driver's own type needs
//! two, and a transaction is made of round trips.

use deadpool_postgres::ClientWrapper;
use futures_util::future::join;

use crate::{
    StoreError,
    connection::{Pool, Pooled, Role},
};

/// A transaction that is rolled back unless it is committed, also when whoever waited for it is gone.
pub(crate) struct Open(Option<Pooled>);

impl Open {
    /// Begins a transaction as `role`; `scope` sets what holds for this transaction alone. The messages are sent when this is
    /// polled first.
    pub(crate) async fn begin(&self, role: Role, scope: &str) -> Result<(), StoreError> {
        self.begin_now(role, &format!("BEGIN; {scope}")).await
    }

    /// A connection on which nothing has begun yet.
    pub(crate) async fn take(pool: &Pool) -> Result<Self, StoreError> {
        Ok(Self(Some(pool.get().await?)))
    }

    /// Begins what changes nothing; the messages are sent when this is polled first.
    pub(crate) async fn begin_reading(&self, role: Role, scope: &str) -> Result<(), StoreError> {
        self.begin_now(role, &format!("BEGIN READ ONLY; {scope}")).await
    }

    async fn begin_now(&self, role: Role, words: &str) -> Result<(), StoreError> {
        let connection = self.connection()?;
        let (entered, begun) = join(connection.enter(role), connection.batch_execute(words)).await;
        entered?;
        Ok(begun?)
    }

    fn connection(&self) -> Result<&Pooled, StoreError> {
        self.0.as_ref().ok_or(StoreError::Pool(deadpool_postgres::PoolError::Closed))
    }

    /// The connection.
    pub(crate) fn client(&self) -> Result<&ClientWrapper, StoreError> {
        Ok(self.connection()?)
    }

    /// Keeps what was done. Broken off in the middle, the end is unknown, as it is when the connection breaks.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        self.client()?.batch_execute("COMMIT").await?;
        self.0 = None;
        Ok(())
    }

    /// Undoes what was done, before the connection goes back to the pool.
    pub(crate) async fn roll_back(mut self) {
        if let Ok(client) = self.client()
            && client.batch_execute("ROLLBACK").await.is_ok()
        {
            self.0 = None;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(client) = self.0.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move { give_back(client).await })),
            // Without the pool: closing the connection rolls back.
            Err(_) => drop(Pooled::take(client)),
        }
    }
}

/// Gives the connection back to the pool without its transaction, or not at all.
async fn give_back(client: Pooled) {
    if client.batch_execute("ROLLBACK").await.is_err() {
        drop(Pooled::take(client));
    }
}
