//! A task's tool while it runs, in a sandbox or simulated: whoever reads it, waits for it or kills it need not know which.

use std::io::Read;

use picket_sandbox::{Outcome, Run};

use crate::simulated::{Simulated, Stop};

/// What runs for a task.
pub(crate) enum Running {
    /// A tool in its sandbox.
    Tool(Run),
    /// The simulator.
    Simulated(Simulated),
}

/// Ends what runs, from anywhere.
#[derive(Clone)]
pub(crate) enum Killer {
    Tool(picket_sandbox::Killer),
    Simulated(Stop),
}

impl Running {
    /// The output, once.
    pub(crate) fn stdout(&mut self) -> Option<Box<dyn Read + Send>> {
        match self {
            Self::Tool(run) => run.stdout().map(|output| -> Box<dyn Read + Send> { Box::new(output) }),
            Self::Simulated(simulated) => Some(Box::new(simulated.output())),
        }
    }

    pub(crate) fn killer(&self) -> Killer {
        match self {
            Self::Tool(run) => Killer::Tool(run.killer()),
            Self::Simulated(simulated) => Killer::Simulated(simulated.stop()),
        }
    }

    /// Waits for the end.
    pub(crate) async fn wait(self) -> Outcome {
        match self {
            Self::Tool(run) => run.wait().await,
            Self::Simulated(simulated) => simulated.wait().await,
        }
    }
}

impl Killer {
    /// Kills; `reason` becomes part of the end unless something else was the first.
    pub(crate) fn kill(&self, reason: &'static str) {
        match self {
            Self::Tool(killer) => killer.kill(reason),
            Self::Simulated(stop) => stop.stop(reason),
        }
    }
}
