//! Every way a run can be ended from outside (cases S12 to S16): afterwards nothing of it is left.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use picket_domain::{Network, SandboxLevel};
use picket_netd::NetdClient;
use picket_sandbox::{End, Sandbox, SandboxSettings};
use rustix::process::{Signal, kill_process};

use crate::levels::levels;
use crate::process::{await_end, children, eventually, handles, with_word};
use crate::room::{
    HELPER_VARIABLE, Room, SOCKET_VARIABLE, await_ready, finish, helper, invocation, open_folder, second_helper,
    settings, small, this_test,
};
use crate::stand_in::{TASK_VARIABLE, WORD_VARIABLE};

/// A word that no other test's processes have in their command line.
fn unique(test: &str) -> String {
    format!("word-{test}-{}", std::process::id())
}

#[test]
fn a_kill_ends_daemons_that_ignore_everything() {
    let (room, word) = (Room::new(), unique("daemon"));
    let mut run = room.start(&["daemon", &word], &small());
    await_ready(&mut run.stdout().unwrap());
    let tree = with_word(&word);
    assert!(tree.len() >= 8, "bwrap twice, the tool and five daemons: {tree:?}");
    let handles = handles(&tree);
    run.killer().kill("cancelled");
    assert_eq!(run.wait_blocking().end, End::Killed("cancelled"));
    await_end(&handles);
    assert!(with_word(&word).is_empty());
}

#[test]
fn children_that_hold_the_output_open_do_not_hold_up_the_end() {
    let started = Instant::now();
    let ran = Room::new().run(&["leave-children"], &small());
    assert_eq!((ran.text.as_str(), ran.outcome.end), ("gone\n", End::Exited(0)));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_dropped_run_is_killed() {
    let (room, word) = (Room::new(), unique("dropped"));
    let mut run = room.start(&["daemon", &word], &small());
    await_ready(&mut run.stdout().unwrap());
    let handles = handles(&with_word(&word));
    drop(run);
    await_end(&handles);
}

#[test]
fn the_first_reason_counts_and_a_kill_after_the_end_does_nothing() {
    let room = Room::new();
    let run = room.start(&["hold"], &small());
    let killer = run.killer();
    killer.kill("first");
    killer.kill("second");
    assert_eq!(run.wait_blocking().end, End::Killed("first"));
    let run = room.start(&["identity"], &small());
    let killer = run.killer();
    assert_eq!(run.wait_blocking().end, End::Exited(0));
    killer.kill("too late");
}

/// Each of bwrap's two processes, and the tool itself, killed by somebody else.
#[test]
fn the_death_of_any_process_of_bwrap_ends_the_tree() {
    for victim in 0..2 {
        let (room, word) = (Room::new(), unique(&format!("bwrap{victim}")));
        let mut run = room.start(&["daemon", &word], &small());
        let mut output = run.stdout().unwrap();
        await_ready(&mut output);
        let tree = with_word(&word);
        let handles = handles(&tree);
        kill_process(tree[victim], Signal::KILL).unwrap();
        await_end(&handles);
        drop(output);
        let end = run.wait_blocking().end;
        assert!(matches!(end, End::Signaled(9) | End::NotStarted), "{end:?}");
    }
}

/// A worker of its own, which runs `task` of `stand_in.rs`. The word is in its command line too (to the test program a
/// filter that fits nothing), since a sandbox's first process is a copy of the worker until it becomes bwrap.
fn worker(folder: &std::path::Path, task: &str, word: &str) -> Child {
    let mut command = this_test(folder, "stand_in::a_worker_that_is_not_this_test");
    command.arg(word).env(TASK_VARIABLE, task).env(WORD_VARIABLE, word).process_group(0);
    // The helper, where there is one, must not be of the process that dies.
    command.env_remove(HELPER_VARIABLE).envs(helper().map(|socket| (SOCKET_VARIABLE, socket)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Reads the worker's output up to the line it says when it is ready.
fn await_line(worker: &mut Child, wanted: &str) {
    let lines = BufReader::new(worker.stdout.as_mut().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.ends_with(wanted)), "the worker ended too early");
}

#[test]
fn nothing_outlives_a_worker_that_is_killed() {
    let (folder, word) = (open_folder(), unique("worker"));
    let mut worker = worker(folder.path(), "hold", &word);
    await_line(&mut worker, "the tool runs");
    let tree = with_word(&word);
    assert!(tree.len() >= 8, "{tree:?}");
    let handles = handles(&tree);
    worker.kill().unwrap();
    worker.wait().unwrap();
    await_end(&handles);
    assert!(with_word(&word).is_empty());
}

/// The network of level L1 is a process outside the sandbox; that of L0 is the helper's, in which nothing stays connected.
#[test]
fn no_network_outlives_a_worker_that_is_killed() {
    let levels = levels(&Room::new().sandbox);
    for level in levels.into_iter().filter(|level| *level < SandboxLevel::L2) {
        let (folder, word) = (open_folder(), unique(&format!("connected{}", level.name())));
        let mut worker = worker(folder.path(), &format!("hold-connected-{}", level.name()), &word);
        await_line(&mut worker, "the tool runs");
        let inside = with_word(&word);
        let stacks: Vec<_> = children(worker.id()).into_iter().filter(|pid| !inside.contains(pid)).collect();
        assert_eq!(stacks.is_empty(), level == SandboxLevel::L0, "the stack in user mode is a child that is not bwrap");
        let connected = || helper().map_or(0, |socket| NetdClient::new(socket).status().unwrap().slots);
        assert_eq!(connected(), u32::from(level == SandboxLevel::L0));
        let handles = handles(&[stacks, inside].concat());
        worker.kill().unwrap();
        worker.wait().unwrap();
        await_end(&handles);
        // Wire, rules and stand-ins go before the helper calls the slot free.
        eventually("the end of the connection", || connected() == 0);
        assert!(with_word(&word).is_empty());
    }
}

/// Whoever connects a run may end before it: its tool takes that for silence, so it has not finished.
#[test]
fn a_run_whose_network_ends_has_lost_it() {
    let levels = levels(&Room::new().sandbox);
    if levels.contains(&SandboxLevel::L1) {
        let (folder, word) = (open_folder(), unique("cut"));
        let mut worker = worker(folder.path(), "hold-connected-L1", &word);
        await_line(&mut worker, "the tool runs");
        let inside = with_word(&word);
        for stack in children(worker.id()).into_iter().filter(|pid| !inside.contains(pid)) {
            kill_process(stack, Signal::KILL).unwrap();
        }
        await_line(&mut worker, "the run ended: NetworkLost");
        worker.wait().unwrap();
    }
    if levels.contains(&SandboxLevel::L0) {
        let room = Room::new();
        let (second, end) = second_helper(room.folder.path());
        let sandbox = Sandbox::new(SandboxSettings { netd: Some(second), ..settings(room.folder.path()) }).unwrap();
        let route = sandbox.route_at(SandboxLevel::L0, &[]).unwrap();
        let mut holding = invocation(Network::Connect, &["hold"]);
        holding.egress.addresses = vec![[1, 1, 1, 1].into()];
        let mut run = sandbox.start_by(&route, 0, &holding, &small()).unwrap();
        await_ready(&mut run.stdout().unwrap());
        drop(end);
        assert_eq!(run.wait_blocking().end, End::NetworkLost);
    }
}

/// The moments between the creation of the first process and the tool's start are the ones in which "die with your
/// parent" is not yet said, or was said too late; so the worker is killed at many of them.
#[test]
fn nothing_outlives_a_worker_that_is_killed_while_it_starts_a_run() {
    let folder = open_folder();
    for moment in 0..40 {
        let word = unique(&format!("moment{moment}"));
        let mut worker = worker(folder.path(), "start", &word);
        await_line(&mut worker, "about to start");
        worker.stdin.take().unwrap().write_all(b"\n").unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(250 * moment) {
            std::hint::spin_loop();
        }
        worker.kill().unwrap();
        worker.wait().unwrap();
        // More than once: in the middle of its `execve` a process has no command line at all.
        eventually("the end of every process", || (0..3).all(|_| with_word(&word).is_empty()));
    }
}

#[test]
fn a_worker_keeps_no_zombie_no_thread_and_no_descriptor_of_its_runs() {
    let folder = open_folder();
    let mut worker = worker(folder.path(), "tidy", &unique("tidy"));
    await_line(&mut worker, "everything is as before");
    drop(worker.stdin.take());
    assert!(worker.wait().unwrap().success());
}

#[test]
fn a_run_ends_while_others_go_on() {
    let room = Room::new();
    let mut long = room.start_in(1, picket_domain::Network::None, &["hold"], &small()).unwrap();
    await_ready(&mut long.stdout().unwrap());
    let short = room.start_in(2, picket_domain::Network::None, &["identity"], &small()).unwrap();
    assert_eq!(finish(short).outcome.end, End::Exited(0));
    long.killer().kill("done");
    assert_eq!(long.wait_blocking().end, End::Killed("done"));
}
