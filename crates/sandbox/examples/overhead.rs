//! What one sandboxed run costs over a bare `exec`: the median of 100 runs of the same small static program.
//!
//! `cargo run -p picket-sandbox --example overhead -- /usr/bin/bwrap /usr/bin/slirp4netns /run/picket/netd.sock`
#![expect(clippy::print_stdout, reason = "prints a measurement")]

use std::fs::{self, Permissions};
use std::io::Error;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use picket_domain::{Egress, Invocation, Network, SandboxLevel};
use picket_sandbox::{Limits, MOUNT_POINTS, Route, Sandbox, SandboxSettings, probe_program};

const RUNS: usize = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let bwrap = words.next().unwrap_or_else(|| "/usr/bin/bwrap".into());
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    let program = tool_root(folder.path())?;
    let settings = SandboxSettings {
        bwrap: bwrap.into(),
        tools_root: folder.path().into(),
        first_slot_uid: SandboxSettings::FIRST_SLOT_UID,
        slirp: words.next().map(PathBuf::from),
        netd: words.next().map(PathBuf::from),
        external_egress: true,
        prepared: 0,
    };
    let sandbox = Sandbox::new(settings.clone())?;
    let warm = Sandbox::new(SandboxSettings { prepared: 1, ..settings })?;
    let bare = median(
        || {
            Command::new(&program).stdout(Stdio::null()).status().map(drop)?;
            Ok(())
        },
        || (),
    )?;
    println!("bare exec             {bare:?}");
    let measure = |name: &str, sandbox: &Sandbox, route: &Route, network| -> Result<(), Error> {
        let egress = Egress { addresses: vec![[1, 1, 1, 1].into()], ports: Vec::new() };
        let invocation = Invocation { network, egress, ..Invocation::of("probe", "/probe") };
        let is_warm = name.ends_with("warm");
        let boxed = median(
            || {
                let run = sandbox.start_by(route, 0, &invocation, &Limits::default()).map_err(Error::other)?;
                drop(run.wait_blocking());
                Ok(())
            },
            || {
                while is_warm && sandbox.waiting() == 0 {
                    std::thread::yield_now()
                }
            },
        )?;
        println!("{name:<21} {boxed:?} (+ {:?})", boxed.saturating_sub(bare));
        Ok(())
    };
    measure("without a network", &sandbox, &sandbox.route_at(SandboxLevel::None, &[])?, Network::None)?;
    for level in [SandboxLevel::L2, SandboxLevel::L1, SandboxLevel::L0] {
        match sandbox.prove_level(level, 1) {
            Ok(()) => {
                let (name, route) = (format!("level {}", level.name()), sandbox.route_at(level, &[])?);
                measure(&name, &sandbox, &route, Network::Connect)?;
                measure(&format!("{name}, warm"), &warm, &route, Network::Connect)?;
            }
            Err(error) => println!("level {:<15} not here: {error}", level.name()),
        }
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

fn median(mut run: impl FnMut() -> Result<(), Error>, mut rest: impl FnMut()) -> Result<Duration, Error> {
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let started = Instant::now();
        run()?;
        times.push(started.elapsed());
        rest();
    }
    times.sort_unstable();
    Ok(times.get(RUNS / 2).copied().unwrap_or_default())
}
