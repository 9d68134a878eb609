//! Sandboxes that wait for a run: they serve it as any other would, and nothing of them stays.

use std::fs;
use std::os::unix::fs::MetadataExt;

use picket_domain::{Egress, Network, SandboxLevel};
use picket_sandbox::{End, Sandbox, SandboxSettings};

use rustix::process::{Pid, Signal, kill_process};

use crate::levels::places;
use crate::process::{await_end, children, eventually, handles};
use crate::room::{Place, Ran, Room, finish, invocation, settings, small};

/// A sandbox of the room's tools, of whose runs so many wait.
fn warm(room: &Room, prepared: usize) -> Sandbox {
    Sandbox::new(SandboxSettings { prepared, ..settings(room.folder.path()) }).unwrap()
}

fn run(sandbox: &Sandbox, place: Place, slot: u32, words: &[&str]) -> Ran {
    let level = place.unwrap_or(SandboxLevel::None);
    let network = if place.is_some() { Network::Connect } else { Network::None };
    let mut wanted = invocation(network, words);
    wanted.egress = Egress { addresses: vec![[1, 1, 1, 1].into()], ports: Vec::new() };
    finish(sandbox.start_by(&sandbox.route_at(level, &[]).unwrap(), slot, &wanted, &small()).unwrap())
}

#[test]
fn a_run_that_was_waited_for_is_locked_in_as_any_other() {
    let room = Room::new();
    for (place, slot) in places().iter().zip(10..) {
        let sandbox = warm(&room, 1);
        let cold =
            run(&sandbox, *place, slot, &["show", "/proc/self/status", "/proc/self/limits", "/proc/self/mounts"]);
        eventually("one waits", || sandbox.waiting() == 1);
        let warm =
            run(&sandbox, *place, slot, &["show", "/proc/self/status", "/proc/self/limits", "/proc/self/mounts"]);
        assert_eq!((cold.outcome.end, warm.outcome.end), (End::Exited(0), End::Exited(0)), "{place:?}");
        let comparable = |text: &str| {
            let lines = text.lines().filter(|line| {
                !["Vm", "Rss", "voluntary", "nonvoluntary", "Cpus", "Mems"].iter().any(|word| line.starts_with(word))
            });
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(comparable(&cold.text), comparable(&warm.text), "{place:?}");
        eventually("another one waits", || sandbox.waiting() == 1);
    }
}

#[test]
fn one_that_waits_for_another_way_or_slot_is_not_used() {
    let room = Room::new();
    let sandbox = warm(&room, 4);
    assert_eq!(run(&sandbox, None, 20, &["identity"]).outcome.end, End::Exited(0));
    eventually("one waits", || sandbox.waiting() == 1);
    assert_eq!(run(&sandbox, None, 21, &["identity"]).outcome.end, End::Exited(0));
    eventually("two wait", || sandbox.waiting() == 2);
}

#[test]
fn one_that_died_while_it_waited_is_not_used_and_all_end_with_the_sandbox() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: its processes cannot be told from those of other tests");
        return;
    }
    let room = Room::new();
    let sandbox = warm(&room, 1);
    drop(run(&sandbox, None, 30, &["identity"]));
    eventually("one waits", || sandbox.waiting() == 1);
    let mine = || {
        let is_mine = |pid: &Pid| {
            let folder = format!("/proc/{}", pid.as_raw_nonzero());
            let is_slot = fs::metadata(&folder).is_ok_and(|entry| entry.uid() == SandboxSettings::FIRST_SLOT_UID + 30);
            // A copy of this process in namespaces of its own, which holds no descriptor of ours.
            is_slot && fs::read_dir(folder + "/fd").map_or(0, Iterator::count) == 5
        };
        children(std::process::id()).into_iter().filter(is_mine).collect::<Vec<_>>()
    };
    let [pid] = mine()[..] else { panic!("one process of that slot with five descriptors: {:?}", mine()) };
    let killed = handles(&[pid]);
    kill_process(pid, Signal::KILL).unwrap();
    await_end(&killed);
    assert_eq!(run(&sandbox, None, 30, &["identity"]).outcome.end, End::Exited(0));
    eventually("one waits again", || sandbox.waiting() == 1);
    let waiting = handles(&mine());
    drop(sandbox);
    await_end(&waiting);
}
