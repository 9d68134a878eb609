//! Admission: lets ready tasks to the workers, few at a time and fairly, and gives up those that nobody can do.

use std::{
    sync::atomic::{AtomicI64, AtomicUsize, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use picket_domain::Pool;
use picket_kit::Clock;
use picket_store::{
    Db, Notice, StoreError, Tx,
    tasks::admission::{self, Admitted, Hopeless},
};

use crate::{
    StewardSettings,
    courier::Hand,
    rounds::{Loop, Round, RoundError},
};

/// Admits tasks.
pub struct Admission {
    db: Db,
    clock: Clock,
    settings: StewardSettings,
    /// When this steward began: a platform that was off as a whole must not call every capability missing at once.
    since: Timestamp,
    /// The second in which it was last looked for windows that have opened: they open on the minute.
    recalled: AtomicI64,
    /// Rounds so far: each begins with another pool, since a place at a host that has become free is the first one's.
    rounds: AtomicUsize,
    /// The second in which it last looked for what nobody serves.
    looked: AtomicI64,
    /// Who publishes what it lets go; a relay when there is nobody.
    hand: Option<Hand>,
}

impl Admission {
    /// Admission under these settings.
    #[must_use]
    pub fn new(db: Db, clock: Clock, settings: StewardSettings) -> Self {
        let since = clock.now();
        let never = || AtomicI64::new(i64::MIN);
        Self { db, clock, settings, since, recalled: never(), rounds: AtomicUsize::new(0), looked: never(), hand: None }
    }

    /// The same with a courier who publishes what is let go.
    #[must_use]
    pub fn leaving_to(self, hand: Hand) -> Self {
        Self { hand: Some(hand), ..self }
    }

    /// Admits what there is room for; returns how many tasks.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn admit(&self) -> Result<usize, StoreError> {
        let mut pools = self.db.look_up("admission.pools", async |tx| admission::pools(tx).await).await?;
        let round = self.rounds.fetch_add(1, Ordering::Relaxed);
        let first = round.checked_rem(pools.len()).unwrap_or_default();
        pools.rotate_left(first);
        let (mut admitted, mut failed) = (0_usize, None);
        for pool in pools {
            picket_faults::point("steward::before_admit");
            match self.admit_of(pool).await {
                Ok(tasks) => admitted = admitted.saturating_add(tasks),
                // One pool keeps no other one waiting, and no window open.
                Err(error) => failed = Some(error),
            }
            picket_faults::point("steward::after_admit");
        }
        // Behind what is let go, which asks for the windows that are open itself.
        let moment = self.clock.now();
        if self.recalled.load(Ordering::Relaxed) != moment.as_second() {
            self.db.operate("admission.recall", async |tx| admission::recall(tx, moment).await).await?;
            self.recalled.store(moment.as_second(), Ordering::Relaxed);
        }
        failed.map_or(Ok(admitted), Err)
    }

    /// What was let go and lost in a crash of the database is ready again, and its message is stale.
    async fn admit_of(&self, pool: Pool) -> Result<usize, StoreError> {
        let (per_slot, limits) = (self.settings.queue_per_slot, self.settings.admission_limits());
        let now = self.clock.now();
        let whose = if self.hand.is_some() { admission::Bearer::Caller } else { admission::Bearer::Relay };
        let admit = async |tx: &Tx<'_>| admission::admit(tx, pool, per_slot, &limits, now, whose).await;
        let Admitted { tasks, messages, left } = self.db.operate_lightly("admission.admit", admit).await?;
        if let Some(hand) = &self.hand {
            hand.leave(messages).await;
        }
        if !left.is_empty() {
            let turn_away = async |tx: &Tx<'_>| admission::turn_away(tx, &left, now).await;
            if let Err(error) = self.db.operate("admission.turn_away", turn_away).await {
                tracing::warn!(error = picket_domain::cause(&error), "what may not begin is turned away later");
            }
        }
        Ok(tasks)
    }

    /// Gives up tasks whose need no live worker has proven within the wait; returns how many.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn give_up_unserved(&self) -> Result<usize, StoreError> {
        let wait = self.settings.capability_wait_seconds;
        if self.clock.now().duration_since(self.since).as_secs_f64() < wait {
            return Ok(0);
        }
        let now = self.clock.now();
        let unserved =
            self.db.operate("admission.unserved", async |tx| admission::unserved(tx, wait, now).await).await?;
        give_up(&self.db, &self.clock, unserved).await
    }
}

/// Gives each task up in a transaction of its own; returns how many nobody took in the meantime. One that cannot be given up
/// now keeps no other one waiting.
///
/// # Errors
/// The last error, when nothing could be given up.
pub(crate) async fn give_up(db: &Db, clock: &Clock, tasks: Vec<Hopeless>) -> Result<usize, StoreError> {
    let (mut given_up, mut failed) = (0_usize, None);
    for task in tasks {
        let now = clock.now();
        match db.operate("admission.give_up", async |tx| admission::give_up(tx, task, now).await).await {
            Ok(is_over) => given_up = given_up.saturating_add(usize::from(is_over)),
            Err(error) => {
                tracing::warn!(error = picket_domain::cause(&error), "a task was not given up, it is tried again");
                failed = Some(error);
            }
        }
    }
    failed.filter(|_| given_up == 0).map_or(Ok(given_up), Err)
}

impl Loop for Admission {
    const NAME: &'static str = "admission";
    const WOKEN_BY: Option<Notice> = Some(Notice::Tasks);
    // What ends within it is admitted for together.
    const REST: Duration = Duration::from_millis(5);

    async fn round(&self) -> Result<Round, RoundError> {
        let admitted = self.admit().await?;
        // A second more or less is nothing to who waits for a minute, and rounds may be hundreds in a second.
        let second = self.clock.now().as_second();
        let given_up =
            if self.looked.swap(second, Ordering::Relaxed) == second { 0 } else { self.give_up_unserved().await? };
        metrics::counter!("picket_admission_admitted_total").increment(u64::try_from(admitted).unwrap_or_default());
        Ok(if admitted == 0 && given_up == 0 { Round::Idle } else { Round::Again })
    }
}
