//! What may be asked of a connection while it serves one transaction, or one tenant's views. Prepares nothing twice.

use std::sync::atomic::{AtomicU8, Ordering};

use deadpool_postgres::ClientWrapper;
use picket_domain::OrganizationId;
use tokio_postgres::{Row, types::ToSql};

use crate::{Notice, StoreError, statements::statements};

statements! {
    ONE_SNAPSHOT = "-- tx.one_snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";

    NAME = "-- tx.name
SELECT set_config('picket.organization', $1, true)";
}

/// A transaction. Outside this crate it can only be passed on.
pub struct Tx<'a> {
    client: &'a ClientWrapper,
    notices: AtomicU8,
}

/// A way to one tenant's rows through functions of the database that take the tenant. Outside this crate it can only be
/// passed on.
pub struct View<'a> {
    tx: Tx<'a>,
    tenant: OrganizationId,
}

impl<'a> View<'a> {
    pub(crate) const fn new(tx: Tx<'a>, tenant: OrganizationId) -> Self {
        Self { tx, tenant }
    }

    /// The row of a statement whose first parameter is the tenant, if there is one.
    pub(crate) async fn query_opt(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, StoreError> {
        let tenant = self.tenant.uuid();
        let own: [&(dyn ToSql + Sync); 1] = [&tenant];
        self.tx.query_opt(sql, &[&own, params].concat()).await
    }
}

impl<'a> Tx<'a> {
    pub(crate) const fn new(client: &'a ClientWrapper) -> Self {
        Self { client, notices: AtomicU8::new(0) }
    }

    /// What is to be sent once it is committed.
    pub(crate) fn into_notices(self) -> u8 {
        self.notices.into_inner()
    }

    /// Goes on with the rows of `tenant`, and no others, until another one is named or the transaction ends.
    pub(crate) async fn name(&self, tenant: OrganizationId) -> Result<(), StoreError> {
        self.query_one(NAME, &[&tenant.uuid().to_string()]).await.map(drop)
    }

    /// Whatever is read from here on is of one moment. To be the first thing that a transaction does.
    pub(crate) async fn see_one_snapshot(&self) -> Result<(), StoreError> {
        self.execute(ONE_SNAPSHOT, &[]).await.map(drop)
    }

    /// Prepares statements that are then sent in one round trip: what is prepared goes out in the order of its calls.
    pub(crate) async fn prepare(&self, statements: &[&str]) -> Result<(), StoreError> {
        for sql in statements {
            self.client.prepare_cached(sql).await?;
        }
        Ok(())
    }

    /// Rows of a statement.
    pub(crate) async fn query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let statement = self.client.prepare_cached(sql).await?;
        self.client.query(&statement, params).await.map_err(StoreError::conflict)
    }

    /// The one row of a statement.
    pub(crate) async fn query_one(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Row, StoreError> {
        let statement = self.client.prepare_cached(sql).await?;
        self.client.query_one(&statement, params).await.map_err(StoreError::conflict)
    }

    /// The row of a statement, if there is one.
    pub(crate) async fn query_opt(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, StoreError> {
        let statement = self.client.prepare_cached(sql).await?;
        self.client.query_opt(&statement, params).await.map_err(StoreError::conflict)
    }

    /// The number of rows that a statement changed.
    pub(crate) async fn execute(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
        let statement = self.client.prepare_cached(sql).await?;
        self.client.execute(&statement, params).await.map_err(StoreError::conflict)
    }

    /// Demands that a statement changes exactly one row.
    pub(crate) async fn execute_one(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<(), StoreError> {
        StoreError::one(self.execute(sql, params).await?)
    }

    /// Sends `notice` once this transaction is committed.
    pub(crate) fn notify(&self, notice: Notice) {
        self.notices.fetch_or(notice.bit(), Ordering::AcqRel);
    }
}
