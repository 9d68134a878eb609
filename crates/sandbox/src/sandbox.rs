//! The sandbox of one worker: what it was set up with, and how runs begin.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use landlock::{CompatLevel, Compatible, Ruleset, RulesetAttr, Scope};
use picket_domain::{Invocation, Network, SandboxLevel};

use crate::command::{Command, PROBE_PATH, Program, Root};
use crate::filter::Filters;
use crate::launch::{Identity, launch};
use crate::roots::{Roots, closed_to_others};
use crate::supervisor::supervise;
use crate::{Limits, Run, SandboxError, probe, probe_program};

/// Where a worker's sandbox finds its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxSettings {
    /// The bubblewrap program, 0.6 or newer, not setuid. Every uid must be able to reach it.
    pub bwrap: PathBuf,
    /// The folder with one read-only root per tool, `<tools_root>/<tool>/`, each with the [`crate::MOUNT_POINTS`].
    pub tools_root: PathBuf,
    /// The uid (and gid) of slot 0, used only when the worker is root. No account may own it or the uids after it.
    pub first_slot_uid: u32,
}

impl SandboxSettings {
    /// The default of [`Self::first_slot_uid`].
    pub const FIRST_SLOT_UID: u32 = 200_000;
}

/// Runs invocations. Cheap to share behind an `Arc`; every method works from any thread.
pub struct Sandbox {
    bwrap: PathBuf,
    roots: Roots,
    identity: Owner,
    filters: Filters,
    scope: Option<OwnedFd>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Sandbox")
            .field("bwrap", &self.bwrap)
            .field("roots", &self.roots)
            .finish_non_exhaustive()
    }
}

/// Who the worker is.
enum Owner {
    Root { first_slot_uid: u32 },
    User { uid: u32, gid: u32 },
}

impl Sandbox {
    /// Checks the settings and prepares what all runs share. Starts nothing: [`Sandbox::prove`] does.
    ///
    /// # Errors
    /// When bwrap or the tools' folder is missing or out of reach, or when a filter cannot be built for this machine.
    pub fn new(settings: SandboxSettings) -> Result<Self, SandboxError> {
        let SandboxSettings { bwrap, tools_root, first_slot_uid } = settings;
        let uid = rustix::process::geteuid();
        let identity = match uid.is_root() {
            true if first_slot_uid == 0 => return Err(SandboxError::Slot(0)),
            true => Owner::Root { first_slot_uid },
            false => Owner::User { uid: uid.as_raw(), gid: rustix::process::getegid().as_raw() },
        };
        let bwrap = checked_bwrap(bwrap, uid.is_root())?;
        let tools_root = checked_tools_root(tools_root, uid.is_root())?;
        Ok(Self { bwrap, roots: Roots::new(tools_root), identity, filters: Filters::new()?, scope: scope()? })
    }

    /// The hash that was written when the tool's root was built; a scan records it. Nothing when it is not installed.
    #[must_use]
    pub fn tool_hash(&self, tool: &str) -> Option<String> {
        self.roots.hash(tool)
    }

    /// Whether a root of that tool is installed.
    #[must_use]
    pub fn has_tool(&self, tool: &str) -> bool {
        self.roots.find(tool).is_some()
    }

    /// Starts one run. Blocks for some milliseconds, until bwrap runs; from then on the run is supervised and ends by
    /// itself within its limits, also when it is dropped or the worker dies.
    ///
    /// `slot` numbers the runs that go on at the same time: as root, each has a uid of its own, and a slot must not be
    /// used again before its run has ended.
    ///
    /// # Errors
    /// [`SandboxError::RawUnavailable`], [`SandboxError::UnknownTool`] and the others say what to do about the
    /// invocation; [`SandboxError::SetUp`] means that the machine does not allow a sandbox (now).
    pub fn start(&self, slot: u32, invocation: &Invocation, limits: &Limits) -> Result<Run, SandboxError> {
        let root = self.roots.get(invocation.tool, invocation.program)?;
        let program = Program {
            root: Root::Tool(&root),
            path: invocation.program,
            arguments: &invocation.args,
            hosts: &invocation.hosts,
            network: invocation.network,
        };
        self.start_program(slot, &program, limits)
    }

    /// Starts a real sandbox, lets a probe look around in it, and says which level that proves. Blocks for some ten
    /// milliseconds. A worker that cannot prove a level must take no task.
    ///
    /// # Errors
    /// [`SandboxError::NotProven`] names the first thing that does not hold.
    pub fn prove(&self) -> Result<SandboxLevel, SandboxError> {
        let bytes = probe_program();
        let program =
            Program { root: Root::Probe(&bytes), path: PROBE_PATH, arguments: &[], hosts: &[], network: Network::None };
        let limits = Limits { wall: Duration::from_secs(10), output_bytes: 64 << 10, ..Limits::default() };
        let mut run = self.start_program(0, &program, &limits)?;
        let mut status = String::new();
        if let Some(mut output) = run.stdout() {
            output.read_to_string(&mut status).map_err(SandboxError::set_up("read the probe's answer"))?;
        }
        let outcome = run.wait_blocking();
        if !outcome.stderr.is_empty() {
            return Err(SandboxError::NotProven(outcome.stderr));
        }
        probe::judge(outcome.end, &status)?;
        Ok(SandboxLevel::L2)
    }

    fn start_program(&self, slot: u32, program: &Program<'_>, limits: &Limits) -> Result<Run, SandboxError> {
        let identity = match self.identity {
            Owner::Root { first_slot_uid } => {
                // The highest uid stands for "no uid" in many calls.
                let uid = first_slot_uid.checked_add(slot).filter(|uid| *uid != u32::MAX);
                Identity::Slot(uid.ok_or(SandboxError::Slot(slot))?)
            }
            Owner::User { uid, gid } => Identity::Own(uid, gid),
        };
        let scope = self.scope.as_ref().map(OwnedFd::try_clone).transpose();
        let scope = scope.map_err(SandboxError::set_up("copy the landlock scope"))?;
        let command = Command::new(&self.bwrap, &self.filters, program)?;
        supervise(launch(command, identity, limits, scope)?, limits)
    }
}

/// Landlock's scope (since Linux 6.12): no abstract unix socket and no process outside may be reached. It handles no
/// access to files on purpose: a domain that does may not mount, and bwrap must. Older kernels give nothing; then
/// abstract sockets stay open to a run that shares the worker's network.
fn scope() -> Result<Option<OwnedFd>, SandboxError> {
    let wanted = Scope::AbstractUnixSocket | Scope::Signal;
    match Ruleset::default().set_compatibility(CompatLevel::HardRequirement).scope(wanted) {
        Ok(ruleset) => Ok(ruleset.create()?.into()),
        Err(error) => {
            tracing::debug!(%error, "the kernel has no landlock scope");
            Ok(None)
        }
    }
}

fn checked_bwrap(path: PathBuf, is_root: bool) -> Result<PathBuf, SandboxError> {
    let absolute =
        path.canonicalize().map_err(|error| SandboxError::Bwrap { path: path.clone(), source: Some(error) })?;
    let is_executable =
        absolute.metadata().is_ok_and(|entry| entry.is_file() && entry.permissions().mode() & 0o111 != 0);
    if is_executable && !(is_root && closed_to_others(&absolute).is_some()) {
        return Ok(absolute);
    }
    Err(SandboxError::Bwrap { path: absolute, source: None })
}

fn checked_tools_root(path: PathBuf, is_root: bool) -> Result<PathBuf, SandboxError> {
    let absolute =
        path.canonicalize().map_err(|error| SandboxError::ToolsRoot { path: path.clone(), source: Some(error) })?;
    match first_obstacle(&absolute, is_root) {
        Some(path) => Err(SandboxError::ToolsRoot { path, source: None }),
        None => Ok(absolute),
    }
}

fn first_obstacle(path: &Path, is_root: bool) -> Option<PathBuf> {
    if !path.is_dir() {
        return Some(path.to_owned());
    }
    if is_root { closed_to_others(path) } else { None }
}
