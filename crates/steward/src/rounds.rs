//! How a loop goes round: work, and when there is nothing left, wait for a hint, the timer or the end.

use std::time::Duration;

use picket_blobs::{BlobError, Blobs};
use picket_kit::{Clock, Health, Shutdown};
use picket_planner::{Planner, Prover};
use picket_queue::{Broker, EnvelopeError, QueueError};
use picket_store::{Db, Notice, StoreError};

use crate::{
    Admission, Artifacts, Cleaner, Courier, DeadLetters, Excluded, Fallen, Halter, Measurer, Orphans, Pages, Proofs,
    Relay, Rescuer, Retention, Scheduler, StewardSettings, reporter::Reporter,
};

/// A round that failed; the next one begins where it began.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The object store.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// An event has no form on the wire.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

/// What a round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
    /// There may be more to do at once.
    Again,
    /// There is nothing to do until somebody says so.
    Idle,
}

/// One of the steward's loops.
pub(crate) trait Loop {
    /// For logs and metrics.
    const NAME: &'static str;
    /// The hint that wakes it, if there is one.
    const WOKEN_BY: Option<Notice>;
    /// How long it rests at least when a round found nothing, however many hints come.
    const REST: Duration = Duration::ZERO;

    /// One round.
    fn round(&self) -> impl Future<Output = Result<Round, RoundError>> + Send;
}

/// What the loops work with.
pub struct Parts {
    /// The truth.
    pub db: Db,
    /// Where events go.
    pub broker: Broker,
    /// Where documents are.
    pub blobs: Blobs,
    /// Plans what is due; judges targets as the gateway's does.
    pub planner: Planner,
    /// Looks for proofs as the gateway's does.
    pub prover: Prover,
    /// The time.
    pub clock: Clock,
    /// What the role tells of itself.
    pub health: Health,
}

/// Runs all loops until shutdown; what fails is tried again.
pub async fn run(settings: StewardSettings, parts: Parts, shutdown: Shutdown) {
    let Parts { db, broker, blobs, planner, prover, clock, health } = parts;
    let poll = Duration::from_millis(settings.poll_ms);
    let relay = Relay::new(db.clone(), &broker);
    let (hand, courier) = Courier::new(db.clone(), &broker);
    let admission = Admission::new(db.clone(), clock.clone(), settings.clone()).leaving_to(hand);
    let cleaner = Cleaner::new(db.clone(), clock.clone());
    let artifacts = Artifacts::new(db.clone(), blobs.clone(), clock.clone());
    let dead_letters = DeadLetters::new(db.clone(), &broker);
    let halter = Halter::new(db.clone(), clock.clone());
    let measurer = Measurer::new(db.clone(), clock.clone());
    let orphans = Orphans::new(db.clone(), blobs.clone(), clock.clone());
    let pages = Pages::new(db.clone(), clock.clone());
    let retention = Retention::new(db.clone(), blobs, clock.clone());
    let scheduler = Scheduler::new(db.clone(), (planner, prover.clone()), clock.clone(), settings.clone());
    let excluded = Excluded::new(db.clone(), clock.clone());
    let fallen = Fallen::new(db.clone(), clock.clone());
    let proofs = Proofs::new(db.clone(), prover, clock.clone());
    let rescuer = Rescuer::new(db.clone(), clock, settings.clone());
    let reporter = Reporter { db: db.clone(), broker, health: health.clone() };
    tokio::join!(
        go_round(&relay, &db, poll, &shutdown),
        go_round(&admission, &db, poll, &shutdown),
        courier.run(&shutdown),
        go_round(&cleaner, &db, Duration::from_millis(settings.clean_ms), &shutdown),
        go_round(&artifacts, &db, Duration::from_millis(settings.retention_ms), &shutdown),
        go_round(&dead_letters, &db, poll, &shutdown),
        go_round(&halter, &db, poll, &shutdown),
        go_round(&measurer, &db, Duration::from_millis(settings.measure_ms), &shutdown),
        go_round(&orphans, &db, Duration::from_millis(settings.retention_ms), &shutdown),
        go_round(&pages, &db, poll, &shutdown),
        go_round(&retention, &db, Duration::from_millis(settings.retention_ms), &shutdown),
        go_round(&scheduler, &db, poll, &shutdown),
        go_round(&excluded, &db, Duration::from_millis(settings.rescue_ms), &shutdown),
        go_round(&fallen, &db, Duration::from_millis(settings.rescue_ms), &shutdown),
        go_round(&proofs, &db, Duration::from_millis(settings.proof_ms), &shutdown),
        go_round(&rescuer, &db, Duration::from_millis(settings.rescue_ms), &shutdown),
        go_round(&reporter, &db, Duration::from_millis(settings.rescue_ms), &shutdown),
    );
    health.set_ready(false);
}

async fn go_round<L: Loop>(work: &L, db: &Db, poll: Duration, shutdown: &Shutdown) {
    let mut notices = L::WOKEN_BY.map(|notice| db.listen(notice));
    while !shutdown.is_down() {
        // A round that hangs in a broken connection must not hold up the end; what it left is taken up by another one.
        let Some(round) = shutdown.or(work.round()).await else { break };
        metrics::counter!("picket_steward_rounds_total", "loop" => L::NAME, "ok" => if round.is_ok() { "true" } else { "false" })
            .increment(1);
        match round {
            Ok(Round::Again) => continue,
            Ok(Round::Idle) => {}
            Err(error) => {
                tracing::warn!(error = picket_domain::cause(&error), steward.r#loop = L::NAME, "a round failed");
            }
        }
        let wait = async {
            match notices.as_mut() {
                Some(notices) => notices.wait(poll).await,
                None => tokio::time::sleep(poll).await,
            }
        };
        let rest = async {
            tokio::time::sleep(L::REST).await;
            wait.await;
        };
        shutdown.or(rest).await;
    }
}
