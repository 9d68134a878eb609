//! The same for an ordinary user: the cases that the other files try as whoever runs the tests, once more as somebody
//! without rights; and control groups, which root can try here.

use std::fs;
use std::path::{Path, PathBuf};

use picket_domain::{Network, SandboxLevel};
use picket_sandbox::{End, Exceeded, Limits, Run, Sandbox, SandboxSettings};
use rustix::process::geteuid;

use crate::room::{
    Room, all_as_ordinary_user, all_as_ordinary_user_with_ipv6, await_ready, finish, invocation, open_folder, settings,
    small, variable,
};

/// Set where nothing may be left out.
const MUST_VARIABLE: &str = "PICKET_TEST_NETD_MUST";

/// S5 to S17, S19, S20, S24, S25, S27 and S28, each file of them in a process of that user. S21 and S23 are of level L0:
/// `crates/netd/tests/netd/everybody.rs` has them as that user.
#[test]
fn every_case_holds_for_an_ordinary_user() {
    if !geteuid().is_root() {
        println!("not root: every test runs as an ordinary user anyway");
        return;
    }
    let of_levels = ["two_runs", "a_slot", "runs_cannot", "a_tool_reaches", "a_run_that_may", "the_stack"];
    let of_levels = of_levels.map(|case| format!("levels::{case}"));
    for cases in ["limits::", "death::", "isolation::", "files::", "loopback6::", "neighbors::", "nmap::"]
        .map(str::to_owned)
        .iter()
        .chain(&of_levels)
    {
        let folder = open_folder();
        let run = if cases == "loopback6::" { all_as_ordinary_user_with_ipv6 } else { all_as_ordinary_user };
        let Some(output) = run(folder.path(), cases) else {
            let must = variable(MUST_VARIABLE).is_some_and(|word| !word.is_empty());
            assert!(!must, "{MUST_VARIABLE} is set, and nobody without rights can be made here");
            continue;
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !text.contains(" 0 passed"), "{cases}:\n{text}{said}");
        println!("{cases} {}", text.lines().rfind(|line| line.starts_with("test result")).unwrap_or_default());
    }
}

/// A folder of control groups that this test may use: the one that is named, or one of its own where root is nobody's
/// guest (no systemd, which has the hierarchy for itself).
fn handed_down() -> Option<PathBuf> {
    if let Some(folder) = variable("PICKET_TEST_CGROUP") {
        return Some(folder.into());
    }
    if !geteuid().is_root() || Path::new("/run/systemd/system").exists() {
        return None;
    }
    let places = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
    let hierarchy = places.into_iter().find(|folder| folder.join("cgroup.controllers").exists())?;
    let folder = hierarchy.join(format!("picket-test-{}", std::process::id()));
    fs::create_dir(&folder).ok()?;
    Some(folder)
}

#[test]
fn a_run_is_in_a_control_group_of_its_own_while_it_lasts() {
    let Some(folder) = handed_down() else {
        println!("no control group is handed down (PICKET_TEST_CGROUP): not tried");
        return;
    };
    // Left by a worker that was killed: no process has this number.
    fs::create_dir(folder.join("run-999999999-1-0")).unwrap();
    let room = Room::new();
    let grouped = SandboxSettings { cgroup: Some(folder.clone()), ..settings(room.folder.path()) };
    let sandbox = Sandbox::new(grouped).unwrap();
    assert_eq!(groups(&folder), Vec::<PathBuf>::new(), "what a dead worker left is gone");
    let route = sandbox.route_at(SandboxLevel::L2, &[]).unwrap();
    let start =
        |mode: &str, limits: &Limits| sandbox.start_by(&route, 7, &invocation(Network::None, &[mode]), limits).unwrap();
    let mut run = start("daemon", &small());
    await_ready(&mut run.stdout().unwrap());
    let [group] = groups(&folder).try_into().unwrap();
    let inside = fs::read_to_string(group.join("cgroup.procs")).unwrap();
    let own = std::process::id().to_string();
    assert!(
        inside.lines().count() >= 8 && inside.lines().all(|pid| pid != own),
        "bwrap twice, the tool, five daemons: {inside}"
    );
    run.killer().kill("done");
    drop(run.wait_blocking());
    assert_eq!(groups(&folder), Vec::<PathBuf>::new(), "it goes with its run");
    limits_hold(&folder, &start);
    drop(sandbox);
    if variable("PICKET_TEST_CGROUP").is_none() {
        fs::remove_dir(&folder).unwrap();
    }
}

/// The groups of runs.
fn groups(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("run-"))).collect()
}

/// Tries the limit of each controller that the folder has.
fn limits_hold(folder: &Path, start: &impl Fn(&str, &Limits) -> Run) {
    let controllers = fs::read_to_string(folder.join("cgroup.controllers")).unwrap();
    println!("controllers here: {:?}", controllers.trim());
    if controllers.contains("memory") {
        // Each process stays below its own limit, and all together do not.
        let limits = Limits { memory_bytes: 64 << 20, scratch_bytes: 4 << 20, ..small() };
        let outcome = finish(start("memory-of-many", &limits)).outcome;
        println!("memory: {:?} {:?} after {:?}", outcome.end, outcome.exceeded, outcome.wall);
        assert_eq!(outcome.exceeded, Some(Exceeded::Memory));
        assert_ne!(outcome.end, End::TimedOut, "the kernel ends all of it at once");
    }
    if controllers.contains("pids") {
        let mut run = start("forks", &Limits { processes: 12, ..small() });
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(run.stdout().unwrap()), &mut line).unwrap();
        let [group] = groups(folder).try_into().unwrap();
        let of = |file: &str| fs::read_to_string(group.join(file)).unwrap();
        println!("processes: {line:?} of {:?}, {:?}", of("pids.max"), of("pids.events"));
        assert_eq!(of("pids.max").trim(), "12");
        assert!(line.contains("EAGAIN") && of("cgroup.procs").lines().count() <= 12, "{line}");
        let refused = of("pids.events").lines().find_map(|line| line.strip_prefix("max ")?.parse::<u64>().ok());
        assert!(refused.is_some_and(|count| count > 0), "the group refused, not the resource limit: {refused:?}");
        run.killer().kill("done");
        assert_eq!(run.wait_blocking().exceeded, Some(Exceeded::Processes));
    }
    if controllers.contains("cpu") {
        let run = start("hold", &small());
        let [group] = groups(folder).try_into().unwrap();
        let share = fs::read_to_string(group.join("cpu.max")).unwrap();
        println!("processor time: {share:?}");
        assert!(share.split(' ').next().is_some_and(|share| share.parse::<u64>().is_ok()), "{share}");
        run.killer().kill("done");
        drop(run.wait_blocking());
    }
}
