//! Files of ours that a tool reads, and the report that it leaves in a file (case S28): copied by a program inside, a
//! plain file alone, and what else the tool prints is no report.

use std::fs;

use picket_domain::{InputFile, Network, ToolOutput};
use picket_sandbox::{End, Limits, SandboxError};

use crate::room::{Ran, Room, finish, invocation, small};

fn report(kind: &str, limits: &Limits) -> Ran {
    let room = Room::new();
    let mut leaving = invocation(Network::None, &["report", kind]);
    leaving.output = ToolOutput::File("/scratch/report");
    finish(room.sandbox.start(0, &leaving, limits).unwrap())
}

#[test]
fn the_report_in_a_file_is_the_output_and_the_tools_words_are_complaints() {
    let Ran { text, outcome } = report("file", &small());
    // A process that the tool left behind may have written more before it was ended.
    assert!(text.starts_with("the report\n"), "{text:?}");
    assert!(text.bytes().skip(11).all(|letter| letter == b'x'));
    assert_eq!((outcome.end, outcome.stderr.as_str()), (End::Exited(3), "noise\n"));
}

#[test]
fn what_is_no_plain_file_is_no_report() {
    // Pipes cannot even be made: `mknod` is no call of a tool.
    for (kind, code) in [("link", 3), ("fifo", 1), ("folder", 3), ("two-names", 3), ("socket", 3), ("none", 3)] {
        let Ran { text, outcome } = report(kind, &small());
        assert_eq!((text.as_str(), outcome.end), ("", End::Exited(code)), "{kind}");
        assert!(outcome.stderr.contains("scan-init: the "), "{kind}: {}", outcome.stderr);
    }
}

#[test]
fn a_report_longer_than_its_limit_is_cut_and_the_run_ended() {
    let Ran { text, outcome } = report("long", &Limits { output_bytes: 4096, ..small() });
    assert_eq!((text.len(), outcome.truncated), (4096, true));
    assert_eq!(outcome.end, End::OutputLimit);
}

#[test]
fn a_tool_that_was_killed_leaves_what_it_wrote() {
    let Ran { text, outcome } = report("killed", &small());
    assert_eq!((text.as_str(), outcome.end), ("the report\n", End::Signaled(9)));
}

#[test]
fn input_files_can_be_read_and_not_changed() {
    let room = Room::new();
    let mut reading = invocation(Network::None, &["show", "/input/words.txt", "/input/headers"]);
    reading.input_files = vec![
        InputFile { path: "/input/words.txt", content: b"admin\nbackup\n".as_slice().into() },
        InputFile { path: "/input/headers", content: b"X-Scan: 1\n".as_slice().into() },
    ];
    let ran = finish(room.sandbox.start(0, &reading, &small()).unwrap());
    assert_eq!(ran.text, "admin\nbackup\nX-Scan: 1\n");
    reading.args = vec!["write".into(), "/input/words.txt".into(), "/input/new".into()];
    let ran = finish(room.sandbox.start(0, &reading, &small()).unwrap());
    assert_eq!(ran.text, "/input/words.txt\tEACCES\n/input/new\tEROFS\n");
}

#[test]
fn a_root_without_a_place_for_input_files_serves_runs_without_them() {
    let room = Room::new();
    fs::remove_dir(room.folder.path().join("hostile/input")).unwrap();
    assert_eq!(room.run(&["identity"], &small()).outcome.end, End::Exited(0));
    let mut reading = invocation(Network::None, &["identity"]);
    reading.input_files = vec![InputFile { path: "/input/a", content: b"".as_slice().into() }];
    let refused = room.sandbox.start(0, &reading, &small());
    assert!(matches!(&refused, Err(SandboxError::IncompleteRoot { missing, .. }) if missing == "input"), "{refused:?}");
}
