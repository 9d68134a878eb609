//! A search for names, which runs no tool: the worker asks the name servers itself, by the same resolver and the same rules
//! as whoever makes scans. It has the output, the limits, the kills and the ends of a tool, so that everything behind it works
//! as with one. What was found is judged before the transaction that lets the scan grow begins.

use std::time::Instant;

use picket_domain::{ClaimedTask, Gap, SandboxLevel};
use picket_planner::{Asker, Names};
use picket_sandbox::{End, Outcome};
use picket_scanners::{NameLine, Tool};
use picket_store::{StoreError, View, grounds, halts, scans::grow};

use crate::{
    execution::{Execution, Ran, parse},
    leavings::Leavings,
    not_run::NotRun,
    running::Killer,
    simulated::Stop,
    verdict::Verdict,
};

impl Execution {
    /// Searches, until it is over or stopped.
    pub(super) async fn discover(
        &self,
        (tool, port): (&'static dyn Tool, u16),
        task: &ClaimedTask,
        left: &Leavings,
    ) -> Result<Ran, NotRun> {
        let (stop, began) = (Stop::default(), Instant::now());
        self.leases.arm(task.fence, Killer::Simulated(stop.clone()));
        picket_faults::point("worker::after_start");
        let wall = self.settings.limits(&tool.appetite(), task.limits).wall;
        let (end, names) = tokio::select! {
            biased;
            reason = stop.stopped() => (End::Killed(reason), None),
            names = self.names(task, port) => (End::Exited(0), Some(names?)),
            () = tokio::time::sleep(wall) => (End::TimedOut, None),
        };
        let output = printed(&names.as_ref().map(Names::lines).unwrap_or_default());
        let outcome = Outcome {
            end,
            wall: began.elapsed(),
            output_bytes: u64::try_from(output.len()).unwrap_or(u64::MAX),
            truncated: false,
            stderr: String::new(),
            stderr_truncated: false,
            exceeded: None,
            dropped_packets: None,
        };
        let nowhere = self.sandbox.route_at(SandboxLevel::None, &[])?;
        let output = left.copy.tee(std::io::Cursor::new(output));
        let (parsed, observations) = parse(tool, &task.shard, (&nowhere, &left.story), output);
        Ok(Ran { tool, outcome, parsed, observations, tool_hash: None, names, gone: 0 })
    }

    async fn names(&self, task: &ClaimedTask, port: u16) -> Result<Names, NotRun> {
        let (tenant, now) = (task.organization_id, self.clock.now());
        let relies = self.db.read("worker.relies", tenant, async |tx| grow::relies(tx, task.scan_id).await).await?;
        let relies = relies.ok_or(StoreError::Stale { expected: 1, actual: 0 })?;
        let load = async |view: &View<'_>| grounds::load(view, &task.shard.target, now).await;
        let asker = Asker {
            organization_id: tenant,
            subscription: relies.subscription,
            requested_by: relies.requested_by,
            grounds: self.db.view("worker.grounds", tenant, load).await?,
            traceparent: None,
            now,
        };
        let mut names = self.planner.search(&asker, &task.shard, (port, &relies.authority)).await?;
        for shard in names.shards() {
            let demand =
                async |tx: &picket_store::Tx<'_>| halts::demand_none_of(tx, tenant, &shard.target, &[&shard]).await;
            match self.db.read("worker.halts", tenant, demand).await {
                Ok(()) => {}
                Err(StoreError::Halted { .. }) => names.forbid(&shard.target),
                Err(error) => return Err(error.into()),
            }
        }
        tracing::info!(
            found = names.found.len(),
            refused = names.refused.len(),
            asked = names.asked,
            unanswered = names.unanswered,
            is_whole = names.is_whole,
            is_wildcard = names.is_wildcard,
            "a search for names ended"
        );
        Ok(names)
    }
}

/// What a search comes to. One that ended has asked twice already, and what is refused stays so: another try would ask the
/// same. It is never a failure, since that would tell nothing of what was refused.
pub(crate) fn of_search(verdict: Verdict, names: Option<&Names>) -> Verdict {
    match verdict {
        Verdict::Retry | Verdict::Fail(Gap::OutputIncomplete) if names.is_some_and(|names| !names.is_whole) => {
            Verdict::Complete(Some(Gap::OutputIncomplete))
        }
        Verdict::Complete(_)
        | Verdict::Fail(_)
        | Verdict::Retry
        | Verdict::HandBack
        | Verdict::Keep
        | Verdict::Forget => verdict,
    }
}

fn printed(lines: &[NameLine]) -> Vec<u8> {
    let line = |line: &NameLine| serde_json::to_string(line).unwrap_or_default() + "\n";
    lines.iter().map(line).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests;
