//! A connection of the pool, and the role that it has. The role stays on the connection from one use to the next, so that
//! most uses need no word about it; what belongs to one tenant never does.
//! Nobody may ask anything of customers' rows without entering a role first: the role that logs in is no tenant.

use std::{
    ops::Deref,
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
};

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::{ClientWrapper, Manager};
use tokio_postgres::Error;

/// Connections that are shared.
pub(crate) type Pool = managed::Pool<Connector>;
/// One of them, until it is dropped.
pub(crate) type Pooled = managed::Object<Connector>;

/// Who a connection is to Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Sees the rows of the one organization that its transaction names.
    Tenant,
    /// Sees the rows of all.
    Operator,
}

impl Role {
    const fn statement(self) -> &'static str {
        match self {
            Self::Tenant => "SET ROLE picket_tenant",
            Self::Operator => "SET ROLE picket_operator",
        }
    }

    const fn mark(self) -> u8 {
        match self {
            Self::Tenant => 1,
            Self::Operator => 2,
        }
    }
}

/// The mark of a connection that has just been made, or whose last change of roles nobody saw the end of.
const UNKNOWN: u8 = 0;

/// Makes connections.
pub(crate) struct Connector(pub(crate) Manager);

/// A connection that knows its role.
pub(crate) struct Connection {
    client: ClientWrapper,
    role: AtomicU8,
    given_up: AtomicBool,
}

impl Connection {
    /// Nobody gets the connection any more once those who have it are gone.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Whether it goes when those who have it are gone.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Gives the connection a role, unless it has that one; the message is sent when this is polled first. No transaction
    /// may be open: its end could take the role back.
    pub(crate) async fn enter(&self, role: Role) -> Result<(), Error> {
        if self.role.load(Ordering::Relaxed) == role.mark() {
            return Ok(());
        }
        // Whoever waits may go away in the middle.
        self.role.store(UNKNOWN, Ordering::Relaxed);
        self.client.batch_execute(role.statement()).await?;
        self.role.store(role.mark(), Ordering::Relaxed);
        Ok(())
    }
}

impl Deref for Connection {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.client
    }
}

impl managed::Manager for Connector {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection, Error> {
        Ok(Connection {
            client: self.0.create().await?,
            role: AtomicU8::new(UNKNOWN),
            given_up: AtomicBool::new(false),
        })
    }

    async fn recycle(&self, connection: &mut Connection, metrics: &Metrics) -> RecycleResult<Error> {
        if connection.is_given_up() {
            return Err(RecycleError::message("an answer did not come in time"));
        }
        self.0.recycle(&mut connection.client, metrics).await
    }

    fn detach(&self, connection: &mut Connection) {
        self.0.detach(&mut connection.client);
    }
}
