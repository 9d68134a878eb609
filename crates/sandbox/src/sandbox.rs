//! The sandbox of one worker: what it was set up with, and how runs begin.

use std::borrow::Cow;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use landlock::{CompatLevel, Compatible, Ruleset, RulesetAttr, Scope};
use picket_domain::{Egress, Invocation, Network, SandboxLevel};
use picket_netd::NetdError;

use crate::cgroup::Groups;
use crate::command::{Command, Program, Root};
use crate::filter::Filters;
use crate::launch::{Identity, Wanted, launch, prepare};
use crate::network::{Route, Way, Ways, without_ipv6};
use crate::roots::{Roots, closed_to_others};
use crate::supervisor::supervise;
use crate::warm::Warm;
use crate::{Limits, Proof, Run, SandboxError, proof, ranking};

/// Where a worker's sandbox finds its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxSettings {
    /// The bubblewrap program, 0.6 or newer, not setuid. Every uid must be able to reach it.
    pub bwrap: PathBuf,
    /// The folder with one read-only root per tool, `<tools_root>/<tool>/`, each with the [`crate::MOUNT_POINTS`].
    pub tools_root: PathBuf,
    /// The uid (and gid) of slot 0, used only when the worker is root. No account may own it or the uids after it.
    pub first_slot_uid: u32,
    /// slirp4netns, 1.2 or newer; without it there is no level L1.
    pub slirp: Option<PathBuf>,
    /// The socket of the privileged network helper; without it there is no level L0.
    pub netd: Option<PathBuf>,
    /// The operator's word that what a run may reach is enforced around the worker; without it there is no level L2.
    pub external_egress: bool,
    /// How many sandboxes wait for a run at most, so that it starts sooner; each for 60 seconds, in a slot that was used
    /// before. 0: every run waits for its own.
    pub prepared: usize,
    /// A folder of control groups (v2) that was handed down to this worker, without processes in it; without one, memory
    /// and processes are limited for each process and user alone.
    pub cgroup: Option<PathBuf>,
}

/// How long the helper keeps a door open beyond the run's own wall clock.
const GRACE: Duration = Duration::from_secs(60);

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
    raw_filters: Filters,
    scope: Option<OwnedFd>,
    warm: Warm,
    ways: Ways,
    groups: Option<Groups>,
    external_egress: bool,
    /// What the last self-test has proven, a level and whether raw sockets are; nothing before the first.
    proven: RwLock<Option<(SandboxLevel, bool)>>,
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
        let SandboxSettings { bwrap, tools_root, first_slot_uid, slirp, netd, external_egress, prepared, cgroup } =
            settings;
        let uid = rustix::process::geteuid();
        let identity = match uid.is_root() {
            true if first_slot_uid == 0 => return Err(SandboxError::Slot(0)),
            true => Owner::Root { first_slot_uid },
            false => Owner::User { uid: uid.as_raw(), gid: rustix::process::getegid().as_raw() },
        };
        let bwrap = checked_bwrap(bwrap, uid.is_root())?;
        let tools_root = checked_tools_root(tools_root, uid.is_root())?;
        let scope = scope()?;
        Ok(Self {
            bwrap,
            roots: Roots::new(tools_root),
            identity,
            filters: Filters::new(false)?,
            raw_filters: Filters::new(true)?,
            warm: Warm::new(prepared, copy(scope.as_ref())?)?,
            scope,
            ways: Ways { slirp, netd },
            groups: cgroup.as_deref().map(Groups::open).transpose()?,
            external_egress,
            proven: RwLock::new(None),
        })
    }

    /// The hash that was written when the tool's root was built; a scan records it. Nothing when it is not installed.
    #[must_use]
    pub fn tool_hash(&self, tool: &str) -> Option<String> {
        self.roots.hash(tool)
    }

    /// The upstream version that was written when the tool's root was built.
    #[must_use]
    pub fn tool_version(&self, tool: &str) -> Option<String> {
        self.roots.version(tool)
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
        let route = match invocation.network {
            Network::None => self.route_at(SandboxLevel::None, &[])?,
            Network::Connect | Network::Raw => self.route(&invocation.egress.addresses)?,
        };
        self.start_by(&route, slot, invocation, limits)
    }

    /// The way to `addresses` at the level that is proven now: under which addresses a run sees them. Where none is, there
    /// is no way: who runs tools all the same says so with [`Sandbox::route_at`].
    ///
    /// # Errors
    /// [`SandboxError::Unproven`], [`SandboxError::Unreachable`], and at level L0 [`SandboxError::NoWay`] and
    /// [`SandboxError::Network`], when the helper gives no stand-in.
    pub fn route(&self, addresses: &[IpAddr]) -> Result<Route, SandboxError> {
        match self.proven() {
            None | Some((SandboxLevel::None, _)) => Err(SandboxError::Unproven),
            Some((level, is_raw)) => {
                let mut route = self.route_at(level, addresses)?;
                route.is_raw = is_raw;
                Ok(route)
            }
        }
    }

    /// The way to `addresses` at a level of the caller's choice, whatever is proven: for tests, measurements, and operators
    /// who have agreed to work without any.
    ///
    /// # Errors
    /// As [`Sandbox::route`].
    pub fn route_at(&self, level: SandboxLevel, addresses: &[IpAddr]) -> Result<Route, SandboxError> {
        Route::new(level, addresses, &self.ways)
    }

    /// [`Sandbox::start`] with an invocation whose addresses are those that `route` shows to it, at the route's level.
    ///
    /// # Errors
    /// As [`Sandbox::start`]; [`SandboxError::NoWay`] and [`SandboxError::Network`] when it cannot be connected.
    pub fn start_by(
        &self,
        route: &Route,
        slot: u32,
        invocation: &Invocation,
        limits: &Limits,
    ) -> Result<Run, SandboxError> {
        if invocation.network == Network::Raw && !route.is_raw {
            return Err(SandboxError::RawUnavailable);
        }
        let root = self.roots.get(invocation.tool, invocation.program, !invocation.input_files.is_empty())?;
        let program = Program {
            root: Root::Tool(&root),
            path: invocation.program,
            arguments: &invocation.args,
            hosts: &invocation.hosts,
            network: invocation.network,
            input_files: &invocation.input_files,
            output: invocation.output,
            output_bytes: limits.output_bytes,
        };
        let ttl = limits.wall.saturating_add(GRACE);
        let egress = Self::egress(route, invocation, &root)?;
        let way = Way::new(&self.ways, route, invocation.network, egress.as_ref(), ttl)?;
        let started = self.start_program(slot, &program, &way, limits);
        started.map_err(|error| without_ipv6(error, route, &egress.addresses))
    }

    /// Starts real sandboxes, lets a probe look around in them, and says which level that proves; [`Sandbox::start`]
    /// keeps to it from now on. Blocks for up to some seconds. A worker that cannot prove a level must take no task.
    ///
    /// `slot` is one that no run uses.
    pub fn prove(&self, slot: u32) -> Proof {
        let proof = proof::prove(self, slot);
        // A level, or none: consistent whatever panicked elsewhere.
        *self.proven.write().unwrap_or_else(PoisonError::into_inner) = Some((proof.level, proof.raw));
        proof
    }

    /// Forgets what was proven, when a self-test did not come back: until the next one there is no level.
    pub fn distrust(&self) {
        *self.proven.write().unwrap_or_else(PoisonError::into_inner) = Some((SandboxLevel::None, false));
    }

    /// Proves one level, whatever others hold, and changes nothing of what runs keep to.
    ///
    /// # Errors
    /// [`SandboxError::NotProven`] names the first thing that does not hold; the others say what is missing.
    pub fn prove_level(&self, level: SandboxLevel, slot: u32) -> Result<(), SandboxError> {
        proof::prove_level(self, level, slot).map(drop)
    }

    /// The level that the last self-test has proven.
    #[must_use]
    pub fn level(&self) -> Option<SandboxLevel> {
        self.proven().map(|(level, _)| level)
    }

    fn proven(&self) -> Option<(SandboxLevel, bool)> {
        *self.proven.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many sandboxes wait for a run now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.warm.count()
    }

    /// Whom the run may reach, with the ports that its tool takes from a list of its own. Only stand-ins look at ports.
    fn egress<'a>(route: &Route, invocation: &'a Invocation, root: &Path) -> Result<Cow<'a, Egress>, SandboxError> {
        let Some(top) = invocation.top_ports.filter(|_| !route.forwards().is_empty()) else {
            return Ok(Cow::Borrowed(&invocation.egress));
        };
        let mut egress = invocation.egress.clone();
        egress.ports.extend(ranking::ports(invocation.tool, root, &top)?);
        Ok(Cow::Owned(egress))
    }

    pub(crate) const fn ways(&self) -> &Ways {
        &self.ways
    }

    /// Whether the kernel keeps runs from abstract sockets of the network that they share.
    pub(crate) const fn has_scope(&self) -> bool {
        self.scope.is_some()
    }

    pub(crate) const fn external_egress(&self) -> bool {
        self.external_egress
    }

    pub(crate) fn start_program(
        &self,
        slot: u32,
        program: &Program<'_>,
        way: &Way,
        limits: &Limits,
    ) -> Result<Run, SandboxError> {
        let identity = match self.identity {
            Owner::Root { first_slot_uid } => {
                // The highest uid stands for "no uid" in many calls.
                let uid = first_slot_uid.checked_add(slot).filter(|uid| *uid != u32::MAX);
                Identity::Slot(uid.ok_or(SandboxError::Slot(slot))?)
            }
            Owner::User { uid, gid } => Identity::Own(uid, gid),
        };
        let filters = if way.is_raw() { &self.raw_filters } else { &self.filters };
        let command = Command::new(&self.bwrap, filters, program)?;
        let wanted = Wanted { identity, kind: way.kind() };
        let anew = || prepare(&wanted, copy(self.scope.as_ref())?, false)?.connect(way);
        let ready = match self.warm.take(&wanted).map(|waiting| waiting.connect(way)) {
            // The helper has given the slot of its wire to another run at this very moment.
            None | Some(Err(SandboxError::Network(NetdError::Unreachable(_)))) => anew()?,
            Some(connected) => connected?,
        };
        let group = self.groups.as_ref().map(|groups| groups.make(limits)).transpose()?;
        let mut launched = launch(ready, command, limits, group)?;
        launched.afterwards = self.warm.refill(wanted);
        supervise(launched, limits)
    }
}

fn copy(scope: Option<&OwnedFd>) -> Result<Option<OwnedFd>, SandboxError> {
    scope.map(OwnedFd::try_clone).transpose().map_err(SandboxError::set_up("copy the landlock scope"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(folder: &Path) -> Sandbox {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        Sandbox::new(SandboxSettings {
            prepared: 0,
            // Nothing is started.
            bwrap: "/bin/sh".into(),
            tools_root: folder.into(),
            first_slot_uid: SandboxSettings::FIRST_SLOT_UID,
            slirp: None,
            netd: None,
            external_egress: false,
            cgroup: None,
        })
        .unwrap()
    }

    #[test]
    fn without_a_proven_level_there_is_no_way_to_a_network() {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = sandbox(folder.path());
        let target = [IpAddr::from([192, 0, 2, 1])];
        assert!(matches!(sandbox.route(&target), Err(SandboxError::Unproven)), "before the first self-test");
        sandbox.distrust();
        assert!(matches!(sandbox.route(&target), Err(SandboxError::Unproven)), "after one that proved nothing");
        let connect = Invocation { network: Network::Connect, ..Invocation::of("tool", "/usr/bin/tool") };
        assert!(matches!(sandbox.start(0, &connect, &Limits::default()), Err(SandboxError::Unproven)));
    }

    #[test]
    fn raw_sockets_need_a_proof_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = sandbox(folder.path());
        let raw = Invocation { network: Network::Raw, ..Invocation::of("tool", "/usr/bin/tool") };
        for (is_raw, is_refused) in [(true, false), (false, true)] {
            *sandbox.proven.write().unwrap() = Some((SandboxLevel::L0, is_raw));
            let started = sandbox.start(0, &raw, &Limits::default());
            assert_eq!(matches!(started, Err(SandboxError::RawUnavailable)), is_refused, "{started:?}");
        }
    }
}
