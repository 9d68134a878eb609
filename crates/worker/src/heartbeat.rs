//! The heartbeat: tells that the worker lives, renews what it holds, and kills what it no longer holds.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use picket_domain::{Fence, SandboxLevel, WorkerId};
use picket_kit::Shutdown;
use picket_store::{
    Db, StoreError,
    tasks::lease::{LEASE_SECONDS, renew},
    workers::{self, WorkerBeat},
};

use crate::{
    WorkerSettings,
    leases::{LEASE_LOST, Leases},
};

/// What the heartbeat needs to know.
pub(crate) struct Heartbeat {
    pub(crate) db: Db,
    pub(crate) id: WorkerId,
    pub(crate) level: SandboxLevel,
    pub(crate) tools: Vec<String>,
    pub(crate) settings: WorkerSettings,
    pub(crate) leases: Arc<Leases>,
}

impl Heartbeat {
    /// Beats until `ended`; `stopping` only changes what is said of new tasks.
    pub(crate) async fn beat_until(&self, ended: &Shutdown, stopping: &Shutdown) {
        let mut renewed = Instant::now();
        while !ended.is_down() {
            match self.beat(stopping.is_down()).await {
                Ok(()) => renewed = Instant::now(),
                Err(error) => {
                    tracing::warn!(error = picket_domain::cause(&error), "a heartbeat was missed");
                    if renewed.elapsed().as_secs_f64() >= LEASE_SECONDS {
                        // Others may have these tasks by now; two tools must not work at one target for one task.
                        self.leases.kill(self.leases.fences(), LEASE_LOST);
                    }
                }
            }
            ended.or(tokio::time::sleep(Duration::from_millis(self.settings.heartbeat_ms))).await;
        }
    }

    /// One heartbeat.
    pub(crate) async fn beat(&self, draining: bool) -> Result<(), StoreError> {
        let held = self.leases.fences();
        let beat = self.description(draining, held.len());
        let kept: Vec<Fence> = self
            .db
            .operate("worker.beat", async |tx| {
                workers::beat(tx, &beat).await?;
                if held.is_empty() { Ok(Vec::new()) } else { renew(tx, self.id, &held).await }
            })
            .await?;
        self.leases.kill(held.into_iter().filter(|fence| !kept.contains(fence)), LEASE_LOST);
        Ok(())
    }

    fn description(&self, draining: bool, busy: usize) -> WorkerBeat {
        WorkerBeat {
            id: self.id,
            pools: self.settings.pools.clone(),
            level: self.level,
            tools: self.tools.clone(),
            slots: i32::try_from(self.settings.slots).unwrap_or(i32::MAX),
            busy: i32::try_from(busy).unwrap_or(i32::MAX),
            draining,
        }
    }
}
