//! A worker in a process of its own, for the tests that kill it or count what it keeps. It is this test program,
//! started again with a task in its environment.

use std::fs;
use std::io::Read;
use std::path::Path;

use picket_domain::SandboxLevel;
use picket_sandbox::End;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::process::eventually;
use crate::room::{Room, await_ready, small, variable};

/// What the worker must do.
pub(crate) const TASK_VARIABLE: &str = "PICKET_TEST_TASK";
/// A word for the command line of its tool.
pub(crate) const WORD_VARIABLE: &str = "PICKET_TEST_WORD";

#[test]
#[ignore = "is started by other tests, with a task"]
fn a_worker_that_is_not_this_test() {
    let word = variable(WORD_VARIABLE).and_then(|word| word.into_string().ok());
    let (Some(task), Some(word)) = (variable(TASK_VARIABLE), word) else { return };
    match task.to_str() {
        Some("hold") => hold(&word),
        Some("hold-connected-L1") => hold_connected(&word, SandboxLevel::L1),
        Some("hold-connected-L0") => hold_connected(&word, SandboxLevel::L0),
        Some("start") => start(&word),
        Some("tidy") => tidy(),
        task => panic!("unknown task {task:?}"),
    }
}

/// The room's folder stays behind when this process is killed, so it is made in the folder of this program, which the
/// other test removes.
fn room() -> Room {
    Room::new_in(Path::new(&std::env::current_exe().unwrap()).parent().unwrap())
}

fn hold(word: &str) {
    let room = room();
    let mut run = room.start(&["daemon", word], &small());
    await_ready(&mut run.stdout().unwrap());
    println!("the tool runs");
    drop(run.wait_blocking());
}

/// As [`hold`], with a network of the run's own, which other processes make.
fn hold_connected(word: &str, level: SandboxLevel) {
    let room = room();
    let grant = (&[std::net::IpAddr::from([1, 1, 1, 1])][..], &[][..]);
    let mut run = room.start_at(level, 0, grant, |_| vec!["daemon".into(), word.into()]);
    await_ready(&mut run.stdout().unwrap());
    println!("the tool runs");
    println!("the run ended: {:?}", run.wait_blocking().end);
}

fn start(word: &str) {
    let room = room();
    println!("about to start");
    let _ = std::io::stdin().read(&mut [0]).unwrap();
    // A tool that writes would notice by itself that nobody reads any more.
    drop(room.start(&["wait", word], &small()).wait_blocking());
}

fn tidy() {
    let room = room();
    let end = |mode: &str| room.run(&[mode], &small()).outcome.end;
    // The first run also starts the thread that starts all others.
    assert_eq!(end("identity"), End::Exited(0));
    eventually("the end of the supervisor", || count("/proc/self/task") == 3);
    let descriptors = count("/proc/self/fd");
    for _ in 0..5 {
        assert_eq!(end("leave-children"), End::Exited(0));
        drop(room.start(&["hold"], &small()));
    }
    eventually("the end of all supervisors", || count("/proc/self/task") == 3);
    assert_eq!(count("/proc/self/fd"), descriptors);
    assert!(matches!(
        waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG),
        Err(rustix::io::Errno::CHILD)
    ));
    println!("everything is as before");
}

fn count(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}
