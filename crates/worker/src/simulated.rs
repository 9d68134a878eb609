//! A run of the simulator: no process, no sandbox and no packet, but the same output, limits, kills and ends as a tool in a
//! sandbox has, so that everything behind it works as with a tool. It must never be reached without the operator's setting.

use std::{
    io::Read,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use picket_sandbox::{End, Limits, Outcome};
use picket_scanners::{SimulatedEnd, Simulation};
use tokio::sync::Notify;

/// A simulated run. It works while somebody waits for it.
pub(crate) struct Simulated {
    simulation: Simulation,
    wall: Duration,
    output_bytes: u64,
    began: Instant,
    stop: Stop,
}

/// Ends a simulated run; the first reason counts.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<(OnceLock<&'static str>, Notify)>);

impl Stop {
    pub(crate) fn stop(&self, reason: &'static str) {
        let (first, hint) = &*self.0;
        let _was_stopped = first.set(reason);
        hint.notify_one();
    }

    /// Waits until it is stopped; only one may wait.
    pub(crate) async fn stopped(&self) -> &'static str {
        let (first, hint) = &*self.0;
        loop {
            if let Some(reason) = first.get() {
                return reason;
            }
            hint.notified().await;
        }
    }
}

impl Simulated {
    /// Begins; the wall clock runs from now.
    pub(crate) fn start(simulation: Simulation, limits: &Limits) -> Self {
        let (wall, output_bytes) = (limits.wall, limits.output_bytes);
        Self { simulation, wall, output_bytes, began: Instant::now(), stop: Stop::default() }
    }

    pub(crate) fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// What it prints, up to its limit.
    pub(crate) fn output(&self) -> impl Read + Send + use<> {
        self.simulation.output().take(self.output_bytes)
    }

    /// Waits for its end: it has printed all at its beginning, and then it works.
    pub(crate) async fn wait(self) -> Outcome {
        let printed = self.simulation.output_bytes();
        let truncated = printed > self.output_bytes;
        let end = if truncated { End::OutputLimit } else { self.end().await };
        Outcome {
            end,
            wall: self.began.elapsed(),
            output_bytes: printed.min(self.output_bytes),
            truncated,
            stderr: String::new(),
            stderr_truncated: false,
            exceeded: None,
            dropped_packets: None,
        }
    }

    async fn end(&self) -> End {
        tokio::select! {
            biased;
            reason = self.stop.stopped() => End::Killed(reason),
            () = self.work() => match self.simulation.end {
                SimulatedEnd::Exited(code) => End::Exited(code),
                SimulatedEnd::Signaled(signal) => End::Signaled(signal),
            },
            () = tokio::time::sleep(self.wall.saturating_sub(self.began.elapsed())) => End::TimedOut,
        }
    }

    async fn work(&self) {
        match self.simulation.work {
            None => std::future::pending().await,
            Some(Duration::ZERO) => {}
            Some(long) => tokio::time::sleep(long).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use picket_domain::Shard;
    use picket_scanners::{Asked, ScanSpec};
    use serde_json::{Value, json};

    use super::*;

    fn start(params: &Value, limits: &Limits) -> Simulated {
        let shard =
            Shard { target: "192.0.2.7".to_owned(), addresses: vec!["192.0.2.7".parse().unwrap()], hosts: Vec::new() };
        let spec = ScanSpec::offered(Asked { tool: "simulate", parameters: Some(params) }, true).unwrap();
        Simulated::start(spec.simulation(&shard).unwrap().unwrap(), limits)
    }

    #[tokio::test]
    async fn every_way_to_end_is_told_as_a_sandbox_tells_it() {
        let limits = Limits { wall: Duration::from_millis(20), output_bytes: 1_000, ..Limits::default() };
        for (params, end) in [
            (json!({}), End::Exited(0)),
            (json!({"sleep_ms": 1}), End::Exited(0)),
            (json!({"fail": 3}), End::Exited(3)),
            (json!({"crash": 11}), End::Signaled(11)),
            (json!({"hang": true}), End::TimedOut),
            (json!({"sleep_ms": 3_600_000}), End::TimedOut),
            (json!({"flood": 996}), End::Exited(0)),
            (json!({"flood": 997}), End::OutputLimit),
            (json!({"flood": 1_001, "hang": true}), End::OutputLimit),
        ] {
            let run = start(&params, &limits);
            let mut printed = Vec::new();
            run.output().read_to_end(&mut printed).unwrap();
            let outcome = run.wait().await;
            assert_eq!((outcome.end, outcome.truncated), (end, end == End::OutputLimit), "{params}");
            assert_eq!(outcome.output_bytes, u64::try_from(printed.len()).unwrap(), "{params}");
        }
    }

    #[tokio::test]
    async fn a_kill_ends_it_at_once_and_the_first_reason_counts() {
        for params in [json!({"hang": true}), json!({"sleep_ms": 3_600_000}), json!({})] {
            let run = start(&params, &Limits::default());
            let stop = run.stop();
            stop.stop("first");
            stop.stop("second");
            assert_eq!(run.wait().await.end, End::Killed("first"), "{params}");
        }
        let run = start(&json!({"hang": true}), &Limits::default());
        let stop = run.stop();
        let waiting = tokio::spawn(run.wait());
        tokio::task::yield_now().await;
        stop.stop("later");
        assert_eq!(waiting.await.unwrap().end, End::Killed("later"));
    }
}
