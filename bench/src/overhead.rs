//! (c) What a sandbox costs: the smallest static program, run bare and run in a sandbox, in alternation.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::Instant,
};

use picket_domain::{Invocation, Network};
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
    })?;
    sandbox.prove()?;
    let bare = || {
        Command::new(&program).stdout(Stdio::null()).status()?;
        Ok(())
    };
    let boxed = |network: Network| {
        let invocation = Invocation { network, ..Invocation::of("probe", "/probe") };
        let end = sandbox.start(0, &invocation, &Limits::default())?.wait_blocking().end;
        if matches!(end, End::Exited(_)) { Ok(()) } else { Err(format!("the program did not run: {end:?}").into()) }
    };
    let (mut alone, mut connected, mut isolated) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        alone.push(milliseconds(bare)?);
        connected.push(milliseconds(|| boxed(Network::Connect))?);
        isolated.push(milliseconds(|| boxed(Network::None))?);
    }
    let alone = median(&mut alone);
    let figure = |name: &str, times: &mut [f64]| {
        Figure::new(format!("(c) a static program in a sandbox, {name}"), median(times), "ms")
            .beside("bare exec", alone)
    };
    Ok(vec![figure("the worker's network", &mut connected), figure("no network", &mut isolated)])
}

fn milliseconds(run: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let began = Instant::now();
    run()?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}
