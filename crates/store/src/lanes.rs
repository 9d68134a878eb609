//! Connections that several short reads share at the same time: their questions go out one behind the other, and the
//! database answers many of them in one turn. One that serves one request at a time costs each request a process of the
//! database that must be woken.
//!
//! Only for statements that each are a transaction of their own and name the tenant themselves: what one request sets for
//! itself would else be another's. Nothing that takes long belongs here either, since the next in the lane waits for it: what
//! is not answered in time is given up with its connection, and whoever comes next gets a new one.

use std::{
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::ClientWrapper;

use crate::{
    StoreError,
    connection::{Pool, Pooled, Role},
};

/// How long an answer may take: the server gives it up by itself, and behind that we give the server up.
const LIMIT: &str = "SET statement_timeout = '5s'";
const LONGEST: Duration = Duration::from_secs(6);

/// The lanes of one handle; cheap to clone.
#[derive(Clone)]
pub(crate) struct Lanes(Arc<[Lane]>);

struct Lane {
    pool: Pool,
    role: Role,
    connection: Mutex<Option<Arc<Pooled>>>,
    /// Held by who connects: the others wait for that connection and not for one of their own.
    connecting: tokio::sync::Mutex<()>,
    riders: AtomicUsize,
}

/// A place in a lane until it is dropped.
pub(crate) struct Ride {
    connection: Arc<Pooled>,
    _seat: Seat,
}

/// What counts its rider.
struct Seat {
    lanes: Lanes,
    index: usize,
}

impl Lanes {
    /// One lane for each connection of the pool, which nobody else may take from. They connect when first used.
    pub(crate) fn new(pool: &Pool, lanes: usize, role: Role) -> Self {
        let lane = |_| Lane {
            pool: pool.clone(),
            role,
            connection: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            riders: AtomicUsize::new(0),
        };
        Self((0..lanes.max(1)).map(lane).collect())
    }

    /// A place in the emptiest lane.
    pub(crate) async fn ride(&self) -> Result<Ride, StoreError> {
        let emptiest = self.0.iter().enumerate().min_by_key(|(_, lane)| lane.riders.load(Ordering::Relaxed));
        let (index, lane) = emptiest.ok_or(StoreError::Pool(deadpool_postgres::PoolError::Closed))?;
        // Counted before it connects, so that those who come meanwhile take another lane.
        let seat = Seat::take(self.clone(), index);
        let connection = match lane.open() {
            Some(connection) => connection,
            None => lane.connect().await?,
        };
        Ok(Ride { connection, _seat: seat })
    }
}

impl Lane {
    fn open(&self) -> Option<Arc<Pooled>> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.as_ref().filter(|one| !one.is_closed() && !one.is_given_up()).cloned()
    }

    async fn connect(&self) -> Result<Arc<Pooled>, StoreError> {
        let _alone = self.connecting.lock().await;
        if let Some(connection) = self.open() {
            return Ok(connection);
        }
        // The broken one goes back first: it counts.
        drop(self.connection.lock().unwrap_or_else(PoisonError::into_inner).take());
        let connection = Arc::new(self.pool.get().await?);
        connection.enter(self.role).await?;
        connection.batch_execute(LIMIT).await?;
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
        Ok(connection)
    }
}

impl Ride {
    /// Waits for an answer as long as a lane may be held up; then nobody else boards this connection, and those who wait in it
    /// for the same answer give up in their turn.
    pub(crate) async fn bounded<T, E: From<StoreError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match tokio::time::timeout(LONGEST, work).await {
            Ok(done) => done,
            Err(_) => {
                self.connection.give_up();
                Err(StoreError::Unanswered.into())
            }
        }
    }
}

impl Deref for Ride {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.connection
    }
}

impl Seat {
    fn take(lanes: Lanes, index: usize) -> Self {
        if let Some(lane) = lanes.0.get(index) {
            lane.riders.fetch_add(1, Ordering::Relaxed);
        }
        Self { lanes, index }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(lane) = self.lanes.0.get(self.index) {
            lane.riders.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
