//! The heartbeat: tells that the worker lives, renews what it holds, and kills what it no longer holds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use picket_domain::Fence;
use picket_kit::{Health, Shutdown};
use picket_store::{
    Db, StoreError,
    tasks::lease::{Claimant, renew},
    workers::{self, WorkerBeat},
};

use crate::{
    WorkerSettings,
    leases::{LEASE_LOST, Leases},
};

/// What the heartbeat needs to know.
pub(crate) struct Heartbeat {
    pub(crate) db: Db,
    pub(crate) claimant: Claimant,
    pub(crate) tools: Vec<String>,
    pub(crate) settings: WorkerSettings,
    pub(crate) leases: Arc<Leases>,
    pub(crate) health: Health,
    /// What the look at the broker said last.
    pub(crate) broker_down: AtomicBool,
}

impl Heartbeat {
    /// Beats until `ended`; `stopping` only changes what is said of new tasks.
    pub(crate) async fn beat_until(&self, ended: &Shutdown, stopping: &Shutdown) {
        let lease = Duration::from_secs(u64::from(self.settings.lease_seconds));
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
            ended.or(tokio::time::sleep(Duration::from_millis(self.settings.heartbeat_ms))).await;
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
        let kept: Vec<Fence> = self
            .db
            .operate("worker.beat", async |tx| {
                workers::beat(tx, &beat).await?;
                if held.is_empty() { Ok(Vec::new()) } else { renew(tx, self.claimant, &held).await }
            })
            .await?;
        self.leases.kill(held.into_iter().filter(|fence| !kept.contains(fence)), LEASE_LOST);
        Ok(())
    }

    fn description(&self, draining: bool, busy: usize) -> WorkerBeat {
        WorkerBeat {
            id: self.claimant.worker_id,
            pools: self.settings.pools.clone(),
            level: self.claimant.level,
            tools: self.tools.clone(),
            slots: i32::try_from(self.settings.slots).unwrap_or(i32::MAX),
            busy: i32::try_from(busy).unwrap_or(i32::MAX),
            draining,
        }
    }
}
