//! What a run sees and leaves: its own files, names and arguments, and nothing of others (cases S24, S25, S28, S29).

use std::net::IpAddr;

use picket_domain::{Network, PinnedHost, SandboxLevel};
use picket_sandbox::{End, SandboxError};

use crate::room::{Room, finish, invocation, small};

#[test]
fn the_self_test_works_inside_an_async_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let room = Room::new();
    runtime.block_on(async {
        room.sandbox.prove_level(SandboxLevel::L2, 1).unwrap();
        let outcome = room.start(&["be-killed"], &small()).wait().await;
        assert_eq!(outcome.end, End::Signaled(11));
    });
}

#[test]
fn names_resolve_by_the_pinned_pairs_alone() {
    let room = Room::new();
    let mut pinned = invocation(Network::None, &["show", "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"]);
    pinned.hosts = vec![PinnedHost { name: "app.example.com".into(), address: IpAddr::from([192, 0, 2, 7]) }];
    let ran = finish(room.sandbox.start(0, &pinned, &small()).unwrap());
    let hosts = "127.0.0.1 localhost\n::1 localhost\n192.0.2.7 app.example.com\n";
    let sources = "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n";
    assert_eq!(ran.text, format!("{hosts}{sources}"));
}

#[test]
fn a_name_that_would_add_a_line_is_refused() {
    let mut forged = invocation(Network::None, &["hold"]);
    forged.hosts = vec![PinnedHost { name: "a\n10.0.0.1 b".into(), address: IpAddr::from([192, 0, 2, 7]) }];
    let refused = Room::new().sandbox.start(0, &forged, &small());
    assert!(matches!(refused, Err(SandboxError::Invocation(_))), "{refused:?}");
}

#[test]
fn arguments_arrive_as_they_are() {
    let words = ["echo", "", "a b", "$(id)", "`id`", "--bind", "ä\u{1b}", "'\"\\"];
    let ran = Room::new().run(&words, &small());
    assert_eq!(ran.text, words[1..].iter().map(|word| format!("{word}\n")).collect::<String>());
}

#[test]
fn a_tool_starts_with_every_signal_as_usual_and_two_filters() {
    let status = Room::new().run(&["show", "/proc/self/status"], &small()).text;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap();
    // The worker ignores SIGPIPE, as every Rust program does, and blocks all signals while it starts a run.
    for name in ["SigBlk:", "SigIgn:", "SigCgt:"] {
        assert_eq!(field(name), "0000000000000000", "{name}");
    }
    assert_eq!(field("Seccomp_filters:"), "2");
    assert_eq!(field("NSpid:"), field("Pid:"), "numbered in its own namespace alone");
}

#[test]
fn raw_sockets_are_refused_not_downgraded() {
    let refused = Room::new().start_in(0, Network::Raw, &["hold"], &small());
    assert!(matches!(refused, Err(SandboxError::RawUnavailable)), "{refused:?}");
}

#[test]
fn what_cannot_run_says_so_before_it_starts() {
    let room = Room::new();
    let start = |tool, program| {
        let mut unknown = invocation(Network::None, &[]);
        (unknown.tool, unknown.program) = (tool, program);
        room.sandbox.start(0, &unknown, &small()).unwrap_err().to_string()
    };
    assert_eq!(start("nikto", "/usr/bin/nikto"), "expected an installed tool, got nikto");
    assert_eq!(start("../hostile", "/usr/bin/hostile"), "expected an installed tool, got ../hostile");
    assert_eq!(start("hostile", "/usr/bin/nmap"), "expected usr/bin/nmap in the root of hostile");
    assert_eq!(start("hostile", "usr/bin/hostile"), "invalid invocation: expected an absolute path of the program");
}

#[test]
fn a_program_that_cannot_be_executed_is_not_an_exit_of_the_tool() {
    let room = Room::new();
    let mut no_program = invocation(Network::None, &[]);
    no_program.program = "/etc/passwd";
    let outcome = finish(room.sandbox.start(0, &no_program, &small()).unwrap()).outcome;
    assert_eq!(outcome.end, End::NotStarted);
    assert!(outcome.stderr.contains("cannot start the tool"), "{}", outcome.stderr);
}

#[test]
fn a_slot_that_is_used_again_holds_nothing_of_the_run_before() {
    let room = Room::new();
    for _ in 0..2 {
        assert_eq!(room.run(&["leave-traces"], &small()).text, "0\n");
    }
}

#[test]
fn a_log_never_gets_a_terminal_sequence_and_a_parser_gets_every_byte() {
    let ran = Room::new().run(&["terminal"], &small());
    assert_eq!(ran.text, "\u{1b}]0;owned\u{7}\u{1b}[2J\r\u{1b}P0;1|17/ab\u{1b}\\");
    assert!(!ran.outcome.stderr.chars().any(char::is_control), "{:?}", ran.outcome.stderr);
    assert!(ran.outcome.stderr.contains("]0;owned"));
}
