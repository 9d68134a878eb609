//! One task from its claim to its end.

use std::{
    io::BufReader,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use picket_domain::{ClaimedTask, Gap, Observation, RunLimits, SandboxLevel, Shard};
use picket_kit::Clock;
use picket_planner::{Names, Planner, without};
use picket_sandbox::{Outcome, Route, Sandbox};
use picket_scanners::{Asked, Context, Parsed, ScanSpec, Simulation, Tool};
use picket_store::{Db, StoreError, tasks::Ended};

use crate::{
    WorkerSettings,
    artifact::Keeper,
    claims::Claims,
    ends::{Ends, Finished},
    leases::Leases,
    leavings::{Leavings, is_worth_keeping},
    not_run::NotRun,
    running::Running,
    simulated::Simulated,
    story::{Story, Teller},
};

/// Between the first tries to store a result, and between later ones.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Runs tasks of one worker.
pub(crate) struct Execution {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) settings: WorkerSettings,
    pub(crate) leases: Arc<Leases>,
    /// Packets that the runs of this worker sent to whom they may not speak to.
    pub(crate) dropped_packets: Arc<AtomicU64>,
    /// Runs of this worker that were stored.
    pub(crate) ended_runs: Arc<AtomicU64>,
    pub(crate) teller: Teller,
    pub(crate) keeper: Keeper,
    pub(crate) ends: Ends,
    pub(crate) claims: Claims,
    /// Asks the name servers and judges what they say.
    pub(crate) planner: Arc<Planner>,
}

/// What a run left behind.
pub(crate) struct Ran {
    pub(crate) tool: &'static dyn Tool,
    pub(crate) outcome: Outcome,
    pub(crate) parsed: Parsed,
    pub(crate) observations: Vec<Observation>,
    /// Of the root at the start of the run: it may have been built anew since.
    pub(crate) tool_hash: Option<String>,
    /// The names that a search has found.
    pub(crate) names: Option<Names>,
    /// Addresses of the task that its name does not lead to any more.
    pub(crate) gone: usize,
}

impl Execution {
    /// Runs the task, which was claimed with that level, in `slot` and stores its end. A stale fence is no error: somebody
    /// else ended the task.
    pub(crate) async fn execute(&self, slot: u32, task: ClaimedTask, claimed: SandboxLevel) {
        self.leases.hold(task.fence);
        let mut left = Leavings::of(Story::begin(&task), self.keeper.copy());
        let ran = self.run(slot, &task, claimed, &left).await;
        if ran.as_ref().is_ok_and(|ran| is_worth_keeping(&ran.outcome.end, ran.parsed.observations)) {
            left.kept = self.keeper.keep(&task, &left.copy).await;
        }
        picket_faults::point("worker::before_commit");
        let finished = Arc::new(Finished { task, ran, left });
        finished.tell();
        let stored = self.store_through_outages(&finished).await;
        picket_faults::point("worker::after_commit");
        let Finished { task, left, .. } = &*finished;
        self.leases.release(task.fence);
        self.teller.hint(task.scan_id);
        if let Some(kept) = left.kept.as_ref().filter(|_| Leavings::may_be_orphaned(&stored)) {
            self.keeper.discard(task, kept).await;
        }
        match stored {
            Ok(_) => drop(self.ended_runs.fetch_add(u64::from(finished.is_last()), Ordering::Relaxed)),
            Err(StoreError::Stale { .. }) => tracing::info!("a late result was thrown away"),
            Err(error) => {
                // The lease runs out and the rescuer puts the task back.
                tracing::error!(error = picket_domain::cause(&error), "a result was not stored");
            }
        }
    }

    /// Tries again while the database is away and the lease is still ours: half an hour of scanning is not thrown away
    /// for a restart of the database. A commit whose answer was lost shows as stale.
    async fn store_through_outages(&self, finished: &Arc<Finished>) -> Result<Ended, StoreError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.ends.store(finished).await {
                Err(error) if error.is_outage() && !self.leases.is_doomed(finished.task.fence) => {
                    tracing::warn!(error = picket_domain::cause(&error), "a result waits for the database");
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                }
                ended => return ended,
            }
        }
    }

    async fn run(&self, slot: u32, task: &ClaimedTask, claimed: SandboxLevel, left: &Leavings) -> Result<Ran, NotRun> {
        // A row is checked as a request is: whoever can write one, or put a message on the queue, has said nothing that
        // is trusted more. What this catalogue does not know, an older or newer one may.
        let asked = Asked { tool: &task.tool, parameters: Some(&task.params) };
        let spec = ScanSpec::offered(asked, self.settings.simulator)?;
        let tool = spec.tool();
        spec.command(&task.shard)?;
        picket_faults::point("worker::before_start");
        if let Some(simulation) = spec.simulation(&task.shard)? {
            let started = self.simulate(tool, simulation, task.limits)?;
            return self.follow(tool, started, task, left).await;
        }
        if self.planner.denies(&task.shard) {
            return Err(NotRun::Denied);
        }
        let gone = self.planner.gone(&task.shard).await;
        let still = ClaimedTask { shard: without(&task.shard, &gone).ok_or(NotRun::Changed)?, ..task.clone() };
        let ran = match spec.discovery(&still.shard)? {
            Some(port) => self.discover((tool, port), &still, left).await?,
            None => {
                let started = self.start(slot, &spec, &still, claimed).await?;
                self.follow(tool, started, &still, left).await?
            }
        };
        Ok(Ran { gone: gone.len(), ..ran })
    }

    /// Reads what was started until it ends.
    async fn follow(
        &self,
        tool: &'static dyn Tool,
        (route, mut run): (Route, Running),
        task: &ClaimedTask,
        left: &Leavings,
    ) -> Result<Ran, NotRun> {
        let tool_hash = self.sandbox.tool_hash(tool.slug());
        self.leases.arm(task.fence, run.killer());
        picket_faults::point("worker::after_start");
        let output = left.copy.tee(run.stdout().ok_or(NotRun::Parser)?);
        let story = left.story.clone();
        let shard = route.shard(&task.shard);
        let back = route.clone();
        let parser = tokio::task::spawn_blocking(move || parse(tool, &shard, (&back, &story), output));
        let mut outcome = self.teller.tell_while(task, &left.story, run.wait()).await;
        let (mut parsed, observations) = parser.await.map_err(|_| NotRun::Parser)?;
        picket_faults::point("worker::after_parse");
        self.dropped_packets.fetch_add(outcome.dropped_packets.unwrap_or(0), Ordering::Relaxed);
        parsed = checked(parsed, tool, &outcome.stderr);
        outcome.stderr = route.text(&outcome.stderr).into_owned();
        parsed.reason = route.text(&parsed.reason).into_owned();
        Ok(Ran { tool, outcome, parsed, observations, tool_hash, names: None, gone: 0 })
    }

    /// Starts what runs no tool, under the same limits. There is nobody whose addresses a route would change.
    fn simulate(&self, tool: &dyn Tool, simulation: Simulation, asked: RunLimits) -> Result<(Route, Running), NotRun> {
        let limits = self.settings.limits(&tool.appetite(), asked);
        let nowhere = self.sandbox.route_at(SandboxLevel::None, &[])?;
        Ok((nowhere, Running::Simulated(Simulated::start(simulation, &limits))))
    }

    /// Starts the tool, at the level that is proven now.
    async fn start(
        &self,
        slot: u32,
        spec: &ScanSpec,
        task: &ClaimedTask,
        claimed: SandboxLevel,
    ) -> Result<(Route, Running), NotRun> {
        if !self.sandbox.has_tool(spec.tool().slug()) {
            return Err(NotRun::NoTool);
        }
        let (sandbox, addresses) = (self.sandbox.clone(), task.shard.addresses.clone());
        // Asking the helper and making namespaces block for milliseconds: not on a thread that others wait for.
        let is_agreed = self.settings.accepts_unsandboxed();
        let route = tokio::task::spawn_blocking(move || way(&sandbox, &addresses, claimed, is_agreed)).await;
        let route = route.map_err(|_| NotRun::Parser)??;
        let invocation = spec.command_at(&route.shard(&task.shard), task.limits.rate)?;
        let limits = self.settings.limits(&spec.tool().appetite(), task.limits);
        let (sandbox, by) = (self.sandbox.clone(), route.clone());
        let started = tokio::task::spawn_blocking(move || sandbox.start_by(&by, slot, &invocation, &limits)).await;
        Ok((route, Running::Tool(started.map_err(|_| NotRun::Parser)??)))
    }
}

/// The way to the task's addresses, where what is proven now still is what the task was taken with.
fn way(sandbox: &Sandbox, addresses: &[IpAddr], claimed: SandboxLevel, is_agreed: bool) -> Result<Route, NotRun> {
    let route = match sandbox.level() {
        Some(SandboxLevel::None) if is_agreed => sandbox.route_at(SandboxLevel::None, addresses)?,
        Some(_) | None => sandbox.route(addresses)?,
    };
    match route.level().counted(route.is_raw(), is_agreed) {
        Some(level) if level <= claimed => Ok(route),
        Some(_) | None => Err(NotRun::Downgraded),
    }
}

/// Reads the output while the tool writes it; what the parser leaves is read to its end, so that the tool never blocks.
/// The tool speaks of addresses as it sees them, `route` knows whose they are; `story` hears of each observation at once.
pub(crate) fn parse(
    tool: &'static dyn Tool,
    shard: &Shard,
    (route, story): (&Route, &Story),
    output: impl std::io::Read,
) -> (Parsed, Vec<Observation>) {
    let mut observations = Vec::new();
    let mut reader = BufReader::with_capacity(64 * 1024, output);
    let only = match shard.addresses.as_slice() {
        [address] => Some(address.to_string()),
        _ => None,
    };
    let context = Context { hosts: &shard.hosts, host: only.as_deref(), port: None };
    let parsed = tool.parse(&mut reader, &context, &mut |one| {
        picket_faults::point("worker::mid_output");
        let one = route.observation(one);
        story.saw(&one);
        observations.push(one);
    });
    // A pipe that breaks here was of a tool that was killed; the verdict knows.
    let _drained = std::io::copy(&mut reader, &mut std::io::sink());
    (parsed, observations)
}

/// The report beside what else the tool said: one that stopped at its own time limit may write a report that looks whole.
/// Another try would stop there as well, so it counts as out of time.
fn checked(parsed: Parsed, tool: &dyn Tool, said: &str) -> Parsed {
    match tool.stopped_early(said) {
        Some(reason) if parsed.is_complete() => {
            Parsed { gap: Some(Gap::TimedOut), reason: reason.to_owned(), ..parsed }
        }
        _ => parsed,
    }
}

#[cfg(test)]
mod tests;
