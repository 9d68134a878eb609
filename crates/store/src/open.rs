//! An open transaction on a connection of the pool. Begins in one round trip, scope included; the driver's own type needs
//! two, and a transaction is made of round trips.

use deadpool_postgres::{Client, Pool};

use crate::StoreError;

/// A transaction that is rolled back unless it is committed, also when whoever waited for it is gone.
pub(crate) struct Open(Option<Client>);

impl Open {
    /// Begins a transaction in `scope`: statements that set what holds for this transaction alone.
    pub(crate) async fn begin(pool: &Pool, scope: &str) -> Result<Self, StoreError> {
        let open = Self::take(pool).await?;
        open.begin_now(scope).await?;
        Ok(open)
    }

    /// A connection on which nothing has begun yet.
    pub(crate) async fn take(pool: &Pool) -> Result<Self, StoreError> {
        Ok(Self(Some(pool.get().await?)))
    }

    async fn begin_now(&self, scope: &str) -> Result<(), StoreError> {
        Ok(self.client()?.batch_execute(&format!("BEGIN; {scope}")).await?)
    }

    /// Begins what changes nothing; the message is sent when this is polled first.
    pub(crate) async fn begin_reading(&self, scope: &str) -> Result<(), StoreError> {
        Ok(self.client()?.batch_execute(&format!("BEGIN READ ONLY; {scope}")).await?)
    }

    /// The connection.
    pub(crate) fn client(&self) -> Result<&Client, StoreError> {
        self.0.as_ref().ok_or(StoreError::Pool(deadpool_postgres::PoolError::Closed))
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
            Err(_) => drop(Client::take(client)),
        }
    }
}

/// Gives the connection back to the pool without its transaction, or not at all.
async fn give_back(client: Client) {
    if client.batch_execute("ROLLBACK").await.is_err() {
        drop(Client::take(client));
    }
}
