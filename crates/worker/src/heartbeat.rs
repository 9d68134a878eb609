//! The heartbeat: tells that the worker lives, renews what it holds, and kills what it no longer holds. A hint that leases
//! were taken away makes it come earlier; the hint says nothing by itself, so one that is lost, forged or repeated harms
//! nobody.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use picket_domain::{Fence, SandboxLevel, WorkerId};
use picket_kit::{Health, Shutdown};
use picket_sandbox::{Attempt, Proof};
use picket_store::{
    Db, Notice, StoreError,
    tasks::lease::{Claimant, renew},
    workers::{self, WorkerBeat, WorkerProof},
};
use serde_json::{Value, json};

use crate::{
    WorkerSettings,
    leases::{LEASE_LOST, Leases},
    standing::Standing,
    unsandboxed::Unsandboxed,
};

/// Between two heartbeats, however many hints come.
const SHORTEST: Duration = Duration::from_millis(100);

/// What the heartbeat needs to know.
pub(crate) struct Heartbeat {
    pub(crate) db: Db,
    pub(crate) worker_id: WorkerId,
    pub(crate) standing: Arc<Standing>,
    pub(crate) tools: Vec<String>,
    /// Version and hash of each tool.
    pub(crate) versions: Value,
    pub(crate) settings: WorkerSettings,
    pub(crate) leases: Arc<Leases>,
    pub(crate) health: Health,
    /// Stopped when an operator wants no more to be taken: what runs goes on, and the worker lives on.
    pub(crate) resting: Shutdown,
    /// What the look at the broker said last.
    pub(crate) broker_down: AtomicBool,
    /// Packets of all runs so far that were dropped on their way to whom they may not speak to.
    pub(crate) dropped_packets: Arc<AtomicU64>,
    /// How fast runs end.
    pub(crate) pace: Pace,
    /// Tells the operators when nothing is proven.
    pub(crate) unsandboxed: Unsandboxed,
}

/// How fast runs end, between beats that are a second apart at least: a hint may make one come at once.
pub(crate) struct Pace {
    ended: Arc<AtomicU64>,
    last: Mutex<(Instant, u64, f64)>,
}

impl Pace {
    /// Of what is counted there.
    pub(crate) fn of(ended: Arc<AtomicU64>) -> Self {
        Self { ended, last: Mutex::new((Instant::now(), 0, 0.0)) }
    }

    fn per_second(&self) -> f64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let ((since, before, _), ended) = (*last, self.ended.load(Ordering::Relaxed));
        let elapsed = since.elapsed().as_secs_f64();
        if elapsed >= 1.0 {
            let count = u32::try_from(ended.saturating_sub(before)).unwrap_or(u32::MAX);
            *last = (Instant::now(), ended, f64::from(count) / elapsed);
        }
        last.2
    }
}

impl Heartbeat {
    /// Beats until `ended`; `stopping` only changes what is said of new tasks.
    pub(crate) async fn beat_until(&self, ended: &Shutdown, stopping: &Shutdown) {
        let lease = Duration::from_secs(u64::from(self.settings.lease_seconds));
        let pause = Duration::from_millis(self.settings.heartbeat_ms);
        let mut hints = self.db.listen(Notice::Leases);
        let mut renewed = Instant::now();
        while !ended.is_down() {
            let (begun, left) = (Instant::now(), lease.saturating_sub(renewed.elapsed()));
            let beaten = tokio::time::timeout(left, self.beat(stopping.is_down())).await;
            self.tell(matches!(beaten, Ok(Ok(()))));
            match beaten {
                // The lease may count from any moment since the question was asked.
                Ok(Ok(())) => renewed = begun,
                Ok(Err(error)) => tracing::warn!(error = picket_domain::cause(&error), "a heartbeat was missed"),
                Err(_) => tracing::warn!("a heartbeat is not answered"),
            }
            if renewed.elapsed() >= lease {
                // Others may have these tasks by now; two tools must not work at one target for one task.
                self.leases.kill(self.leases.fences(), LEASE_LOST);
                // A database that answers again renews what was claimed since; what was lost it does not give back.
                renewed = Instant::now();
            }
            // A hint that comes while it beats or sleeps is not lost.
            ended.or(tokio::time::sleep(pause.min(SHORTEST))).await;
            ended.or(hints.wait(pause.saturating_sub(SHORTEST))).await;
        }
    }

    fn tell(&self, database_up: bool) {
        let broker_down = self.broker_down.load(Ordering::Acquire);
        let down = [broker_down.then_some("broker"), (!database_up).then_some("database")];
        self.health.report(down.into_iter().flatten().collect());
    }

    /// One heartbeat.
    pub(crate) async fn beat(&self, draining: bool) -> Result<(), StoreError> {
        let held = self.leases.fences();
        let beat = self.description(draining, held.len());
        let is_news = self.unsandboxed.is_news(&beat);
        let (is_drained, kept) = self
            .db
            .operate("worker.beat", async |tx| {
                if is_news {
                    self.unsandboxed.tell(tx, &beat).await?;
                }
                let is_drained = workers::beat(tx, &beat).await?;
                let kept: Vec<Fence> =
                    if held.is_empty() { Vec::new() } else { renew(tx, self.renewer(), &held).await? };
                Ok::<_, StoreError>((is_drained, kept))
            })
            .await?;
        if is_news {
            self.unsandboxed.told();
        }
        if is_drained && !self.resting.is_down() {
            tracing::info!("an operator wants this worker to take no more");
            self.resting.stop();
        }
        self.leases.kill(held.into_iter().filter(|fence| !kept.contains(fence)), LEASE_LOST);
        Ok(())
    }

    /// What is held is renewed whatever is proven by now: running tools keep the sandbox that they were started in.
    fn renewer(&self) -> Claimant {
        let lease_seconds = f64::from(self.settings.lease_seconds);
        Claimant { worker_id: self.worker_id, level: self.standing.last().0.level, lease_seconds }
    }

    fn description(&self, draining: bool, busy: usize) -> WorkerBeat {
        let (proof, proven_at) = self.standing.last();
        let dropped = self.dropped_packets.load(Ordering::Relaxed);
        tell_metrics(&proof, dropped);
        WorkerBeat {
            id: self.worker_id,
            pools: self.settings.pools.clone(),
            level: proof.level,
            tools: self.tools.clone(),
            slots: i32::try_from(self.settings.slots).unwrap_or(i32::MAX),
            busy: i32::try_from(busy).unwrap_or(i32::MAX),
            tasks_per_second: self.pace.per_second(),
            draining,
            proof: WorkerProof {
                raw: proof.raw,
                is_agreed: self.settings.accepts_unsandboxed(),
                proven_at: Some(proven_at),
                dropped_packets: i64::try_from(dropped).unwrap_or(i64::MAX),
                proofs: proof.attempts.iter().map(attempt).collect(),
                tool_versions: self.versions.clone(),
            },
        }
    }
}

fn attempt(attempt: &Attempt) -> Value {
    json!({ "level": attempt.level.name(), "proven": attempt.failure.is_none(), "reason": attempt.failure })
}

/// One gauge per level, one of them 1: an operator's alarm asks for the one that must not be.
fn tell_metrics(proof: &Proof, dropped: u64) {
    for level in SandboxLevel::ALL {
        let is = if level == proof.level { 1.0 } else { 0.0 };
        metrics::gauge!("picket_sandbox_level", "level" => level.name()).set(is);
    }
    metrics::counter!("picket_sandbox_dropped_packets_total").absolute(dropped);
    if proof.level == SandboxLevel::None {
        tracing::warn!("tools run without a proven sandbox");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_and_the_dropped_packets_are_exported() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let proof = Proof { level: SandboxLevel::L1, raw: false, attempts: Vec::new() };
        metrics::with_local_recorder(&recorder, || tell_metrics(&proof, 42));
        let text = recorder.handle().render();
        for line in [
            "picket_sandbox_level{level=\"L0\"} 0",
            "picket_sandbox_level{level=\"L1\"} 1",
            "picket_sandbox_level{level=\"none\"} 0",
            "picket_sandbox_dropped_packets_total 42",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}:\n{text}");
        }
    }
}
