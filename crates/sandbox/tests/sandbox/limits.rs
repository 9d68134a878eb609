//! One abuse per test (cases S7 to S11 and S17): each limit stops what it is for, and says so, without a network and at
//! every level that this machine gives.

use std::time::{Duration, Instant};

use picket_domain::SandboxLevel;
use picket_sandbox::{End, Limits, Output};

use crate::levels::places;
use crate::room::{Ran, Room, finish, small};

const MEBIBYTE: u64 = 1 << 20;

/// Runs a mode that prints how far it came and which error stopped it, everywhere.
fn stopped(mode: &str, limits: &Limits) -> Vec<(u64, String)> {
    let of = |Ran { text, outcome }: Ran| {
        assert_eq!(outcome.end, End::Exited(0), "{mode}: {}", outcome.stderr);
        let (amount, error) = text.trim().split_once('\t').expect("an amount and an error");
        (u64::try_from(amount.parse::<i64>().unwrap().max(0)).unwrap(), error.to_owned())
    };
    everywhere(mode, limits).into_iter().map(of).collect()
}

/// Runs a mode to its end, everywhere.
fn everywhere(mode: &str, limits: &Limits) -> Vec<Ran> {
    let room = Room::new();
    let run = |place| {
        println!("{mode} at {place:?}");
        finish(room.start_where(place, 0, &[mode], limits))
    };
    places().iter().copied().map(run).collect()
}

fn scratch(bytes: u64, inodes: u64) -> Limits {
    Limits { scratch_bytes: bytes, scratch_inodes: inodes, ..small() }
}

#[test]
fn the_scratch_holds_its_bytes_and_no_more() {
    for found in stopped("fill-many", &scratch(4 * MEBIBYTE, 100)) {
        assert_eq!(found, (4 * MEBIBYTE, "ENOSPC".into()));
    }
}

#[test]
fn no_file_is_larger_than_the_scratch() {
    for mode in ["fill", "fill-tmp", "fill-shm"] {
        for (bytes, error) in stopped(mode, &scratch(2 * MEBIBYTE, 100)) {
            assert_eq!(bytes, 2 * MEBIBYTE, "{mode}");
            assert!(["EFBIG", "ENOSPC"].contains(&error.as_str()), "{mode}: {error}");
        }
    }
    for found in stopped("sparse", &scratch(2 * MEBIBYTE, 100)) {
        assert_eq!(found, (0, "EFBIG".into()));
    }
}

#[test]
fn the_scratch_holds_its_inodes_and_no_more() {
    for (files, error) in stopped("fill-inodes", &scratch(4 * MEBIBYTE, 100)) {
        // The scratch itself is one of them.
        assert_eq!((files, error.as_str()), (99, "ENOSPC"));
    }
}

#[test]
fn memory_ends_at_its_limit() {
    for (mebibytes, error) in stopped("memory", &Limits { memory_bytes: 256 * MEBIBYTE, ..small() }) {
        assert!((128..256).contains(&mebibytes) && error == "ENOMEM", "{mebibytes} MiB, {error}");
    }
}

/// The three that every program has are among them.
#[test]
fn descriptors_end_at_their_limit() {
    for found in stopped("open-many", &Limits { open_files: 64, ..small() }) {
        assert_eq!(found, (61, "EMFILE".into()));
    }
}

#[test]
fn a_fork_bomb_ends_at_its_limit_and_dies_at_once() {
    let room = Room::new();
    for place in places() {
        let mut run = room.start_where(*place, 0, &["forks"], &Limits { processes: 20, ..small() });
        let mut output = run.stdout().unwrap();
        let line = first_line(&mut output);
        // Three of the twenty: bwrap, its init, and the bomb. The stack of an ordinary user's run has entered its user
        // namespace as the same user, so the kernel counts it there too.
        let is_with_stack = *place == Some(SandboxLevel::L1) && !rustix::process::geteuid().is_root();
        assert_eq!(line, if is_with_stack { "16\tEAGAIN" } else { "17\tEAGAIN" }, "{place:?}");
        let started = Instant::now();
        run.killer().kill("seen enough");
        assert_eq!(run.wait_blocking().end, End::Killed("seen enough"));
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}

fn first_line(output: &mut Output) -> String {
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
    line.trim_end().to_owned()
}

#[test]
fn a_spinning_tool_is_ended_by_its_processor_time() {
    for ran in everywhere("spin", &Limits { cpu: Duration::from_secs(1), ..small() }) {
        assert_eq!(ran.outcome.end, End::Signaled(24), "SIGXCPU");
    }
}

#[test]
fn a_flood_of_output_is_cut_at_its_limit_and_ended() {
    for Ran { text, outcome } in everywhere("flood-output", &Limits { output_bytes: MEBIBYTE, ..small() }) {
        assert_eq!(outcome.end, End::OutputLimit);
        assert!(outcome.truncated);
        assert_eq!((text.len(), outcome.output_bytes), (1 << 20, MEBIBYTE));
    }
}

#[test]
fn a_flood_that_nobody_reads_is_ended_all_the_same() {
    let room = Room::new();
    let outcome = room.start(&["flood-output"], &Limits { output_bytes: MEBIBYTE, ..small() }).wait_blocking();
    assert_eq!((outcome.end, outcome.truncated), (End::OutputLimit, true));
    let mut run = room.start(&["flood-output"], &Limits { output_bytes: MEBIBYTE, ..small() });
    drop(run.stdout());
    assert_eq!(run.wait_blocking().end, End::OutputLimit);
}

#[test]
fn a_flood_of_complaints_is_ended_and_only_its_end_is_kept() {
    let limits = Limits { output_bytes: MEBIBYTE, stderr_bytes: 100, ..small() };
    for Ran { outcome, .. } in everywhere("flood-error", &limits) {
        assert_eq!(outcome.end, End::OutputLimit);
        assert_eq!((outcome.stderr.as_str(), outcome.stderr_truncated), ("A".repeat(100).as_str(), true));
        assert!(!outcome.truncated, "standard output is whole");
    }
}

#[test]
fn the_wall_clock_ends_a_tool_that_waits() {
    let outcome = Room::new().run(&["hold"], &Limits { wall: Duration::from_millis(300), ..small() }).outcome;
    assert_eq!(outcome.end, End::TimedOut);
    assert!(outcome.wall >= Duration::from_millis(300) && outcome.wall < Duration::from_secs(5), "{:?}", outcome.wall);
}

#[test]
fn the_wall_clock_ends_a_tool_that_has_stopped_itself() {
    for ran in everywhere("stop", &Limits { wall: Duration::from_millis(500), ..small() }) {
        assert_eq!((ran.text.as_str(), ran.outcome.end), ("ready\n", End::TimedOut));
    }
}

#[test]
fn the_wall_clock_ends_a_tool_whose_output_nobody_reads() {
    let room = Room::new();
    let mut run = room.start(&["flood-output"], &Limits { wall: Duration::from_millis(300), ..small() });
    let unread = run.stdout();
    let outcome = run.wait_blocking();
    assert_eq!(outcome.end, End::TimedOut);
    assert!(outcome.output_bytes > 0 && !outcome.truncated, "{outcome:?}");
    drop(unread);
}

#[test]
fn a_signal_that_ended_the_tool_is_named() {
    assert_eq!(finish(Room::new().start(&["be-killed"], &small())).outcome.end, End::Signaled(11));
    assert_eq!(finish(Room::new().start(&["no-such-mode"], &small())).outcome.end, End::Exited(2));
}
