//! (c) What a sandbox costs: the smallest static program, run bare and run in a sandbox, in alternation.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::Instant,
};

use picket_domain::{Egress, Invocation, Network, SandboxLevel};
use picket_sandbox::{End, Limits, Sandbox, SandboxSettings, probe_program};

use crate::{
    Failure,
    figure::{Figure, median},
    stand_in,
};

const RUNS: usize = 100;

pub(crate) fn measure() -> Result<Vec<Figure>, Failure> {
    let folder = stand_in::open_folder()?;
    let root = folder.path().join("probe");
    stand_in::furnish(&root)?;
    let program = root.join("probe");
    fs::write(&program, probe_program())?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    let sandbox = Sandbox::new(SandboxSettings {
        bwrap: stand_in::bwrap(),
        tools_root: folder.path().to_owned(),
        first_slot_uid: SandboxSettings::FIRST_SLOT_UID,
        slirp: picket_kit::environment("PICKET_SLIRP").map(Into::into),
        netd: picket_kit::environment("PICKET_WORKER__NETD_SOCKET").map(Into::into),
        external_egress: true,
    })?;
    let bare = || {
        Command::new(&program).stdout(Stdio::null()).status()?;
        Ok(())
    };
    let boxed = |level: SandboxLevel, network: Network| {
        let egress = Egress { addresses: vec![[1, 1, 1, 1].into()], ports: Vec::new() };
        let invocation = Invocation { network, egress, ..Invocation::of("probe", "/probe") };
        let route = sandbox.route_at(level, &[])?;
        let end = sandbox.start_by(&route, 0, &invocation, &Limits::default())?.wait_blocking().end;
        if matches!(end, End::Exited(_)) { Ok(()) } else { Err(format!("the program did not run: {end:?}").into()) }
    };
    let mut ways = vec![("no network".to_owned(), SandboxLevel::None, Network::None, Vec::new())];
    for level in [SandboxLevel::L2, SandboxLevel::L1, SandboxLevel::L0] {
        if sandbox.prove_level(level, 1).is_ok() {
            ways.push((format!("level {}", level.name()), level, Network::Connect, Vec::new()));
        }
    }
    let mut alone = Vec::new();
    for _ in 0..RUNS {
        alone.push(milliseconds(bare)?);
        for (_, level, network, times) in &mut ways {
            times.push(milliseconds(|| boxed(*level, *network))?);
        }
    }
    let alone = median(&mut alone);
    let figure = |(name, _, _, mut times): (String, SandboxLevel, Network, Vec<f64>)| {
        Figure::new(format!("(c) a static program in a sandbox, {name}"), median(&mut times), "ms")
            .beside("bare exec", alone)
    };
    Ok(ways.into_iter().map(figure).collect())
}

fn milliseconds(run: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let began = Instant::now();
    run()?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}
