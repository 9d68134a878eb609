//! The pool and the only ways to a transaction.

use std::{fmt::Display, time::Duration};

use futures_util::future::join;
use picket_domain::OrganizationId;
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    DbTls, Notice, Notices, StoreError, Tx, View,
    connection::{Pool, Role},
    lanes::Lanes,
    notice::Sender,
    open::Open,
    pools,
};

/// What the server is told of our connections: a client that vanished must not keep its locks, and nobody waits for a
/// lock longer than a request may take.
const SESSION: &str = "-c idle_in_transaction_session_timeout=15s -c lock_timeout=10s -c tcp_keepalives_idle=15 \
                       -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3";

/// A tenant's changes are short statements about rows that they name, and lists of values: planned for the very values, as
/// Postgres would (a list whose length is known looks cheaper), they would cost more to plan than to run.
const KEEP_PLANS: &str = "SET LOCAL plan_cache_mode = force_generic_plan";

/// How to reach Postgres.
#[derive(Clone)]
pub struct DbSettings {
    /// A connection URL; its role must be a member of `picket_tenant` and `picket_operator`.
    pub url: String,
    /// Connections of this process.
    pub max_connections: usize,
    /// How long a request waits for a free one.
    pub wait: Duration,
}

impl std::fmt::Debug for DbSettings {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DbSettings")
            .field("max_connections", &self.max_connections)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

/// A handle to the database; cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: Pool,
    /// For look-ups alone, which come between the transactions of tenants all the time: so neither has to change the other's
    /// role.
    lookers: Pool,
    /// For views alone.
    lanes: Lanes,
    max_connections: usize,
    wait: Duration,
    config: Config,
    connect: MakeRustlsConnect,
    sender: Sender,
}

/// The fewest connections of a thread that has its own: one that waits must not stop the others.
const FEWEST: usize = 4;

impl Db {
    /// Makes the pool of plain connections; connects when it is first used. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn new(settings: &DbSettings) -> Result<Self, StoreError> {
        Self::secured(settings, &DbTls::off()?)
    }

    /// The same with connections that are secured like this.
    ///
    /// # Errors
    /// As [`Db::new`].
    pub fn secured(settings: &DbSettings, tls: &DbTls) -> Result<Self, StoreError> {
        let mut config: Config = settings.url.parse()?;
        let options = format!("{} {SESSION}", config.get_options().unwrap_or_default());
        config
            .options(options.trim())
            .application_name("picket")
            .connect_timeout(Duration::from_secs(5))
            .keepalives_idle(Duration::from_secs(15))
            .tcp_user_timeout(Duration::from_secs(20));
        let connect = tls.apply(&mut config);
        let (max_connections, wait) = (settings.max_connections, settings.wait);
        let pool = pools::pool(&config, &connect, max_connections, wait)?;
        let lookers = pools::pool(&config, &connect, pools::lookers(max_connections), wait)?;
        let lanes = pools::lanes(&config, &connect, wait)?;
        let sender = Sender::start(pool.clone());
        Ok(Self { pool, lookers, lanes, max_connections, wait, config, connect, sender })
    }

    /// The handle of one of `threads` that each stay on their thread: with its share of as many connections again, so that
    /// no answer of the database has to wake two threads. Where a share would be small, all have the same ones.
    ///
    /// # Errors
    /// When the pool cannot be made.
    pub fn for_one_of(&self, threads: usize) -> Result<Self, StoreError> {
        let share = self.max_connections.checked_div(threads).unwrap_or_default();
        if share < FEWEST {
            return Ok(self.clone());
        }
        let pool = pools::pool(&self.config, &self.connect, share, self.wait)?;
        let lookers = pools::pool(&self.config, &self.connect, pools::lookers(share), self.wait)?;
        let lanes = pools::lanes(&self.config, &self.connect, self.wait)?;
        Ok(Self { pool, lookers, lanes, max_connections: share, ..self.clone() })
    }

    /// Runs `work` in a transaction that sees the rows of `tenant` alone; commits when it returns `Ok`, rolls back
    /// otherwise. `name` says who asks, in spans.
    ///
    /// # Errors
    /// What `work` returned, or the store's own.
    #[tracing::instrument(name = "db.tx", skip_all, fields(db.tx = name, tenant.id = %tenant), err(level = "debug"))]
    pub async fn run<T, E>(
        &self,
        name: &'static str,
        tenant: OrganizationId,
        work: impl AsyncFnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<StoreError> + Display,
    {
        self.transact(Role::Tenant, &format!("{}; {KEEP_PLANS}", scope(tenant)), work).await
    }

    /// Reads rows of `tenant` alone. The transaction begins in the same round trip as the first statement of `work`, and
    /// nobody waits for its end; it can change nothing. Statements that `work` polls together share a round trip too.
    ///
    /// # Errors
    /// What `work` returned, or the store's own.
    #[tracing::instrument(name = "db.read", skip_all, fields(db.tx = name, tenant.id = %tenant), err(level = "debug"))]
    pub async fn read<T, E>(
        &self,
        name: &'static str,
        tenant: OrganizationId,
        work: impl AsyncFnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<StoreError> + Display,
    {
        let open = Open::take(&self.pool).await?;
        let tx = Tx::new(open.client()?);
        // Polled in this order, so that the beginning is sent first. Were it refused, what was read is not looked at.
        let (begun, done) = join(open.begin_reading(Role::Tenant, &scope(tenant)), work(&tx)).await;
        begun?;
        done
    }

    /// Reads rows of `tenant` alone with statements that each are a transaction of their own and name the tenant
    /// themselves: nothing is begun and nothing ended, one round trip is all. No table shows a row here but through them.
    /// Views share few connections, so nothing that takes long may be one.
    ///
    /// # Errors
    /// What `work` returned, or the store's own.
    // Its fields would be written out for each of the most frequent requests, which say the same.
    #[tracing::instrument(
        name = "db.view", level = "debug", skip_all, fields(db.tx = name, tenant.id = %tenant), err(level = "debug")
    )]
    pub async fn view<T, E>(
        &self,
        name: &'static str,
        tenant: OrganizationId,
        work: impl AsyncFnOnce(&View<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<StoreError> + Display,
    {
        let ride = self.lanes.ride().await?;
        ride.bounded(work(&View::new(Tx::new(&ride), tenant))).await
    }

    /// Reads rows of all organizations: for look-ups before the tenant is known. Each statement is a transaction of its own;
    /// none may change anything.
    ///
    /// # Errors
    /// What `work` returned, or the store's own.
    #[tracing::instrument(name = "db.look_up", skip_all, fields(db.tx = name), err(level = "debug"))]
    pub async fn look_up<T, E>(
        &self,
        name: &'static str,
        work: impl AsyncFnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<StoreError> + Display,
    {
        let connection = self.lookers.get().await.map_err(StoreError::from)?;
        let tx = Tx::new(&connection);
        let (entered, done) = join(connection.enter(Role::Operator), work(&tx)).await;
        entered.map_err(StoreError::from)?;
        done
    }

    /// Changes rows with one statement that is a transaction of its own and names each tenant itself, before it touches a row
    /// of that tenant: nothing is begun and nothing ended, one round trip is all, and no row is seen without a name. When
    /// whoever waits goes away, it is done or not done, never half.
    ///
    /// # Errors
    /// What `work` returned, or the store's own.
    #[tracing::instrument(name = "db.act", skip_all, fields(db.tx = name), err(level = "debug"))]
    pub async fn act<T, E>(&self, name: &'static str, work: impl AsyncFnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<StoreError> + Display,
    {
        let connection = self.pool.get().await.map_err(StoreError::from)?;
        let tx = Tx::new(&connection);
        let (entered, done) = join(connection.enter(Role::Tenant), work(&tx)).await;
        entered.map_err(StoreError::from)?;
        done
    }

    /// Runs `work` in one transaction for several tenants, one after the other: it sees no row until it names one
    /// ([`Tx::name`]), and then that one's alone. It waits for no lock longer than half a second, since many wait for it.
    ///
    /// # Errors
    /// What `work` returned, or the store's own.
    #[tracing::instrument(name = "db.run_for_each", skip_all, fields(db.tx = name), err(level = "debug"))]
    pub async fn run_for_each<T, E>(
        &self,
        name: &'static str,
        work: impl AsyncFnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<StoreError> + Display,
    {
        self.transact(Role::Tenant, &format!("SET LOCAL lock_timeout = '500ms'; {KEEP_PLANS}"), work).await
    }

    /// Runs `work` over all organizations: for the loops of the platform, and for look-ups before the tenant is known.
    ///
    /// # Errors
    /// What `work` returned, or the store's own.
    #[tracing::instrument(name = "db.operate", skip_all, fields(db.tx = name), err(level = "debug"))]
    pub async fn operate<T, E>(
        &self,
        name: &'static str,
        work: impl AsyncFnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<StoreError> + Display,
    {
        self.transact(Role::Operator, "", work).await
    }

    /// The same for what is merely done again when a crash of the database loses it: the commit does not wait for the disk.
    /// Whatever is built upon it and must last waits for both.
    ///
    /// # Errors
    /// What `work` returned, or the store's own.
    #[tracing::instrument(name = "db.operate_lightly", skip_all, fields(db.tx = name), err(level = "debug"))]
    pub async fn operate_lightly<T, E>(
        &self,
        name: &'static str,
        work: impl AsyncFnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<StoreError> + Display,
    {
        self.transact(Role::Operator, "SET LOCAL synchronous_commit = off", work).await
    }

    async fn transact<T, E>(
        &self,
        role: Role,
        scope: &str,
        work: impl AsyncFnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        let open = Open::take(&self.pool).await?;
        let tx = Tx::new(open.client()?);
        // Polled in this order, so that the beginning is sent first, with the first statement behind it. It fails with its
        // connection alone, and then so does all that follows.
        let (begun, done) = join(open.begin(role, scope), work(&tx)).await;
        begun?;
        let notices = tx.into_notices();
        match done {
            Ok(done) => {
                open.commit().await?;
                self.sender.ask(notices);
                Ok(done)
            }
            Err(error) => {
                open.roll_back().await;
                Err(error)
            }
        }
    }

    /// Listens for hints; the caller keeps a timer too.
    #[must_use]
    pub fn listen(&self, notice: Notice) -> Notices {
        Notices::listen(self.config.clone(), self.connect.clone(), notice)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let client = self.pool.get().await?;
        client.batch_execute("SELECT 1").await?;
        Ok(())
    }
}

/// The tenant of one transaction. A UUID has no character that could end the literal.
fn scope(tenant: OrganizationId) -> String {
    format!("SET LOCAL picket.organization = '{}'", tenant.uuid())
}
