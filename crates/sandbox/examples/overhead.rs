//! What one sandboxed run costs over a bare `exec`: the median of 100 runs of the same small static program.
//!
//! `cargo run -p picket-sandbox --example overhead -- /usr/bin/bwrap`
#![expect(clippy::print_stdout, reason = "prints a measurement")]

use std::fs::{self, Permissions};
use std::io::Error;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use picket_domain::{Invocation, Network};
use picket_sandbox::{Limits, MOUNT_POINTS, Sandbox, SandboxSettings, probe_program};

const RUNS: usize = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bwrap = std::env::args().nth(1).unwrap_or_else(|| "/usr/bin/bwrap".into());
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    let program = tool_root(folder.path())?;
    let settings = SandboxSettings {
        bwrap: bwrap.into(),
        tools_root: folder.path().into(),
        first_slot_uid: SandboxSettings::FIRST_SLOT_UID,
    };
    let sandbox = Sandbox::new(settings)?;
    println!("level {:?}", sandbox.prove()?);
    let bare = median(|| {
        Command::new(&program).stdout(Stdio::null()).status().map(drop)?;
        Ok(())
    })?;
    println!("bare exec                    {bare:?}");
    for network in [Network::Connect, Network::None] {
        let invocation = Invocation { network, ..Invocation::of("probe", "/probe") };
        let boxed = median(|| {
            let run = sandbox.start(0, &invocation, &Limits::default()).map_err(Error::other)?;
            drop(run.wait_blocking());
            Ok(())
        })?;
        println!("sandbox, network {network:<11?} {boxed:?} (+ {:?})", boxed.saturating_sub(bare));
    }
    Ok(())
}

fn tool_root(folder: &Path) -> Result<PathBuf, Error> {
    let root = folder.join("probe");
    fs::create_dir_all(root.join("etc"))?;
    for place in MOUNT_POINTS {
        if place.starts_with("etc/") { fs::write(root.join(place), "")? } else { fs::create_dir(root.join(place))? }
    }
    let program = root.join("probe");
    fs::write(&program, probe_program())?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    Ok(program)
}

fn median(mut run: impl FnMut() -> Result<(), Error>) -> Result<Duration, Error> {
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let started = Instant::now();
        run()?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(RUNS / 2).copied().unwrap_or_default())
}
