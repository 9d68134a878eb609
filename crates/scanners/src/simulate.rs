//! The simulator: a tool that is no program, so that tests of load and of faults need neither a network nor a sandbox. It
//! is no part of the catalogue, is never recognized in an import, and is offered only where the operator's setting says so.
//!
//! What a run prints, in this order and all at its beginning: a line for each finding, lines of noise, and a last line
//! that is the mark of its end, where it ends well.

mod output;
mod report;

use std::time::Duration;

use picket_domain::{Invocation, Needs, Pool, SandboxLevel, Shard};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::{output::Output, report::Report};
use crate::{
    Appetite, Format, ParamsError, TaskShape, Tool,
    typed::{self, Within},
};

/// The simulator.
pub const SIMULATOR: &dyn Tool = &Simulator;

/// Its name, and that of its tool's root, which does not exist.
const SLUG: &str = "simulate";

struct Simulator;

/// What a client may ask for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Params {
    /// How long it works, in milliseconds; nothing by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    sleep_ms: Option<Within<0, 3_600_000>>,
    /// How many findings it reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    findings: Option<Within<0, 100_000>>,
    /// How many bytes of noise it prints.
    #[serde(skip_serializing_if = "Option::is_none")]
    flood: Option<Within<0, 1_073_741_824>>,
    /// Whether it works until somebody kills it.
    #[serde(skip_serializing_if = "is_false")]
    hang: bool,
    /// The exit code with which it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    fail: Option<Within<1, 128>>,
    /// The signal by which it dies.
    #[serde(skip_serializing_if = "Option::is_none")]
    crash: Option<Within<1, 64>>,
    /// Into how many tasks a scan is cut; each does all of the above.
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<Within<1, 10_000>>,
}

/// What one task of the simulator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Simulation {
    /// How long it works; `None` is until it is killed.
    pub work: Option<Duration>,
    /// How it ends when nobody kills it.
    pub end: SimulatedEnd,
    findings: u32,
    flood: u32,
}

/// How a simulated tool ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimulatedEnd {
    /// With that exit code.
    Exited(i32),
    /// By that signal.
    Signaled(i32),
}

impl Simulation {
    /// What it prints, however much that is.
    #[must_use]
    pub fn output(&self) -> impl std::io::Read + Send + use<> {
        Output::new(self)
    }

    /// How many bytes [`Self::output`] has.
    #[must_use]
    pub fn output_bytes(&self) -> u64 {
        Output::new(self).remaining()
    }

    fn ends_well(&self) -> bool {
        self.end == SimulatedEnd::Exited(0) && self.work.is_some()
    }
}

/// What a stored task does.
///
/// # Errors
/// When the parameters are not those of one task.
pub(crate) fn simulation(params: &Value) -> Result<Simulation, ParamsError> {
    let params = one_task(params)?;
    let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let end = match (&params.crash, &params.fail) {
        (Some(signal), _) => SimulatedEnd::Signaled(number(signal.0)),
        (None, Some(code)) => SimulatedEnd::Exited(number(code.0)),
        (None, None) => SimulatedEnd::Exited(0),
    };
    let sleep = Duration::from_millis(params.sleep_ms.map_or(0, |ms| u64::from(ms.0)));
    Ok(Simulation {
        work: (!params.hang).then_some(sleep),
        end,
        findings: params.findings.map_or(0, |findings| findings.0),
        flood: params.flood.map_or(0, |bytes| bytes.0),
    })
}

fn one_task(params: &Value) -> Result<Params, ParamsError> {
    let params: Params = typed::read(Some(params))?;
    if params.tasks.is_some() {
        return Err(ParamsError::of("tasks", "not_canonical", "expected the parameters of one task"));
    }
    Ok(params)
}

impl Tool for Simulator {
    fn slug(&self) -> &'static str {
        SLUG
    }

    fn title(&self) -> &'static str {
        "Simulator"
    }

    fn category(&self) -> &'static str {
        "simulator"
    }

    fn description(&self) -> &'static str {
        "Sends no packet: sleeps, reports findings, fails, hangs, floods or crashes as it is told."
    }

    fn is_passive(&self) -> bool {
        false
    }

    fn shapes(&self, params: Option<&Value>) -> Result<Vec<TaskShape>, ParamsError> {
        let params: Params = typed::read(params)?;
        if params.crash.is_some() && params.fail.is_some() {
            return Err(ParamsError::of("crash", "conflict", "expected either `crash` or `fail`"));
        }
        let tasks = params.tasks.map_or(1, |tasks| tasks.0);
        let params = typed::canonical(&Params { tasks: None, ..params });
        let needs = Needs { pool: Pool::Simulate, level: SandboxLevel::L2 };
        let shape = TaskShape { params, needs, ports: 1 };
        Ok(std::iter::repeat_n(shape, usize::try_from(tasks).unwrap_or(1)).collect())
    }

    fn params_schema(&self) -> Value {
        typed::schema::<Params>()
    }

    /// Nobody runs it: it shows what the task would do, in a dry run.
    fn invocation(&self, params: &Value, _shard: &Shard) -> Result<Invocation, ParamsError> {
        let params = one_task(params)?;
        Ok(Invocation { args: vec![typed::canonical(&params).to_string()], ..Invocation::of(SLUG, "/simulate") })
    }

    /// The operator's wall clock alone counts; a flood of more than 16 MiB is cut.
    fn appetite(&self) -> Appetite {
        Appetite { wall: Duration::from_secs(1), output_bytes: 16 << 20, ..Appetite::DEFAULT }
    }

    fn format(&self) -> &'static dyn Format {
        &Report
    }

    fn exit_is_ok(&self, code: i32) -> bool {
        code == 0
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests;
