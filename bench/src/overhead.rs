//! (c) What a sandbox costs: the smallest static program, run bare and run in a sandbox, in alternation.
//!
//! As root everything runs in a child with a network namespace of its own, in which a network helper serves (level L0)
//! without a change of the machine's network.

use std::{
    env::current_exe,
    fs::{self, Permissions},
    os::{
        fd::AsFd,
        unix::{fs::PermissionsExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use picket_domain::{Egress, Invocation, Network, SandboxLevel};
use picket_netd::{NetdClient, NetdSettings, serve};
use picket_sandbox::{End, Limits, Sandbox, SandboxSettings, probe_program};

use crate::{
    Failure,
    figure::{Figure, median},
    stand_in,
};

const RUNS: usize = 100;
/// What a level may cost over the bare exec, when its sandbox was prepared.
const AIM_MILLISECONDS: f64 = 15.0;
/// How long the helper may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether sandboxes wait.
const LOOK: Duration = Duration::from_micros(500);
/// Brings up the loopback of the namespace, then becomes the child.
const ALONE: &str = "ip link set lo up && exec \"$@\"";

/// One way to lock the program in, and what its runs took.
struct Row {
    name: String,
    slot: u32,
    level: SandboxLevel,
    network: Network,
    is_warm: bool,
    times: Vec<f64>,
}

impl Row {
    const fn new(name: String, slot: u32, level: SandboxLevel, network: Network, is_warm: bool) -> Self {
        Self { name, slot, level, network, is_warm, times: Vec::new() }
    }
}

/// What the child measures in a network of its own, or what this process does without a helper where there can be none.
pub(crate) fn measure() -> Result<Vec<Figure>, Failure> {
    if picket_kit::environment("PICKET_WORKER__NETD_SOCKET").is_some() {
        return compare(None);
    }
    let mut alone = Command::new("unshare");
    alone.args(["--net", "--kill-child", "sh", "-c", ALONE, "sh"]).arg(current_exe()?).arg("overhead");
    let output = alone.stderr(Stdio::inherit()).output()?;
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout)?);
    }
    eprintln!("bench: without the network helper, which needs root");
    compare(None)
}

/// The child: serves a helper, measures, prints the figures.
pub(crate) fn child() -> Result<(), Failure> {
    let folder = stand_in::open_folder()?;
    let socket = folder.path().join("netd.sock");
    let (stop, told) = UnixStream::pair()?;
    let settings = NetdSettings { socket: socket.clone(), ..NetdSettings::default() };
    let helper = thread::spawn(move || serve(&settings, told.as_fd()));
    let began = Instant::now();
    while NetdClient::new(socket.clone()).status().is_err() {
        if helper.is_finished() || began.elapsed() > PATIENCE {
            return Err("the network helper does not listen".into());
        }
        thread::yield_now();
    }
    let figures = compare(Some(socket))?;
    drop(stop);
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

fn compare(netd: Option<PathBuf>) -> Result<Vec<Figure>, Failure> {
    let folder = stand_in::open_folder()?;
    let root = folder.path().join("probe");
    stand_in::furnish(&root)?;
    let program = root.join("probe");
    fs::write(&program, probe_program())?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    let settings = settings(folder.path(), netd);
    let sandbox = Sandbox::new(settings.clone())?;
    let warm = Sandbox::new(SandboxSettings { prepared: 4, ..settings })?;
    let bare = || {
        Command::new(&program).stdout(Stdio::null()).status()?;
        Ok(())
    };
    let (mut ways, absent) = ways(&sandbox, &warm)?;
    let waiting = ways.iter().filter(|row| row.is_warm).count();
    let mut alone = Vec::new();
    for _ in 0..RUNS {
        alone.push(milliseconds(bare)?);
        for row in &mut ways {
            // What the run before took away is made again first.
            while warm.waiting() < waiting {
                thread::sleep(LOOK);
            }
            let sandbox = if row.is_warm { &warm } else { &sandbox };
            row.times.push(milliseconds(|| boxed(sandbox, row.slot, row.level, row.network))?);
        }
    }
    Ok(ways.into_iter().flat_map(|row| figures(row, &alone)).chain(absent).collect())
}

/// Every level that is proven here, plain and prepared, and a figure that says why for each one that is not.
fn ways(sandbox: &Sandbox, warm: &Sandbox) -> Result<(Vec<Row>, Vec<Figure>), Failure> {
    let mut ways = vec![Row::new("no network".to_owned(), 0, SandboxLevel::None, Network::None, false)];
    let mut absent = Vec::new();
    for (level, slot) in [(SandboxLevel::L2, 2), (SandboxLevel::L1, 3), (SandboxLevel::L0, 4)] {
        let name = format!("level {}", level.name());
        match sandbox.prove_level(level, 1) {
            Ok(()) => {
                ways.push(Row::new(name.clone(), 0, level, Network::Connect, false));
                ways.push(Row::new(format!("{name}, prepared"), slot, level, Network::Connect, true));
                boxed(warm, slot, level, Network::Connect)?;
            }
            Err(error) => {
                let why = format!("not proven here: {error}");
                absent.push(Figure::absent(format!("(c) a static program in a sandbox, {name}"), &why));
            }
        }
    }
    Ok((ways, absent))
}

/// The whole run beside the bare exec, and the middle of what each run took over the bare exec before it.
fn figures(mut row: Row, alone: &[f64]) -> [Figure; 2] {
    let mut over: Vec<f64> = row.times.iter().zip(alone).map(|(boxed, bare)| boxed - bare).collect();
    let name = format!("(c) a static program in a sandbox, {}", row.name);
    let over = Figure::new(format!("{name}, over the bare exec"), median(&mut over), "ms");
    let whole = Figure::new(name, median(&mut row.times), "ms");
    [whole.beside("bare exec", median(&mut alone.to_vec())), over.beside("the aim for L0 and L1", AIM_MILLISECONDS)]
}

fn settings(tools: &Path, netd: Option<PathBuf>) -> SandboxSettings {
    SandboxSettings {
        bwrap: stand_in::bwrap(),
        tools_root: tools.to_owned(),
        first_slot_uid: SandboxSettings::FIRST_SLOT_UID,
        slirp: picket_kit::environment("PICKET_SLIRP").map(Into::into),
        netd: netd.or_else(|| picket_kit::environment("PICKET_WORKER__NETD_SOCKET").map(Into::into)),
        external_egress: true,
        prepared: 0,
        cgroup: None,
    }
}

/// One run of the program in a sandbox, to its end.
fn boxed(sandbox: &Sandbox, slot: u32, level: SandboxLevel, network: Network) -> Result<(), Failure> {
    let egress = Egress { addresses: vec![[1, 1, 1, 1].into()], ports: Vec::new() };
    let invocation = Invocation { network, egress, ..Invocation::of("probe", "/probe") };
    let route = sandbox.route_at(level, &[])?;
    let end = sandbox.start_by(&route, slot, &invocation, &Limits::default())?.wait_blocking().end;
    if matches!(end, End::Exited(_)) { Ok(()) } else { Err(format!("the program did not run: {end:?}").into()) }
}

fn milliseconds(run: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let began = Instant::now();
    run()?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}
