//! Looks around in a real sandbox and says what it finds, line by line; whoever asked judges. It prints its own
//! `/proc/self/status`, then `door NAME open|ERROR` for each, then `reach KIND ADDRESS PORT WHAT [SAID]` for each of the
//! addresses it was given: `connected`, `answered`, `silent`, or `error` with a number; and what the other side said.
//!
//! A kind is `tcp`, `udp`, one of `forge.rs` (`echo`, `spoof`, `forged`, `frame`: each sends one packet), or `unix` with
//! the name of an abstract socket as the address, which is a door.

use crate::forge;
use crate::kernel::{O_NONBLOCK, O_WRONLY, call, close, now_ms, number, open, plain, read, say};
use crate::text::{self, Arguments};

/// How long all the addresses together may take; what is dropped answers never.
const PATIENCE_MS: i64 = 400;
/// The most addresses of one probe.
const MOST: usize = 32;

const CLOEXEC: usize = 0o2000000;
const NEW_USER: usize = 0x1000_0000;

pub fn look_around(arguments: &Arguments, first: usize) -> i32 {
    print_status();
    doors();
    reach(arguments, first);
    0
}

fn print_status() {
    let file = open(c"/proc/self/status".as_ptr().cast(), 0);
    let mut buffer = [0_u8; 8192];
    let count = read(file, &mut buffer);
    say(1, buffer.get(..usize::try_from(count).unwrap_or(0)).unwrap_or_default());
    close(file);
}

fn door(name: &[u8], answer: isize) {
    say(1, b"door ");
    say(1, name);
    if answer < 0 {
        say(1, b" ");
        text::print(answer.unsigned_abs() as u64);
        say(1, b"\n");
    } else {
        say(1, b" open\n");
    }
}

fn doors() {
    let socket = |family, kind, protocol| plain(number::SOCKET, [family, kind | CLOEXEC, protocol, 0, 0]);
    door(b"core_pattern", open(c"/proc/sys/kernel/core_pattern".as_ptr().cast(), O_WRONLY));
    door(b"sysrq", open(c"/proc/sysrq-trigger".as_ptr().cast(), O_WRONLY));
    // Its own name, which everybody may change but who is in Landlock's domain.
    door(b"files", open(c"/proc/self/comm".as_ptr().cast(), O_WRONLY));
    door(b"raw_sockets", socket(2, 3, 1));
    door(b"packet_sockets", socket(17, 3, 0));
    door(b"netfilter", socket(16, 3, 12));
    door(b"virtual_sockets", socket(40, 1, 0));
    door(b"mount", plain(number::MOUNT, [0, 0, 0, 0, 0]));
    door(b"bpf", plain(number::BPF, [0, 0, 0, 0, 0]));
    door(b"ptrace", plain(number::PTRACE, [0, 0, 0, 0, 0]));
    door(b"keys", plain(number::KEYCTL, [0, usize::MAX - 2, 1, 0, 0]));
    door(b"io_uring", plain(number::RING, [1, 0, 0, 0, 0]));
    // Last: in a namespace of its own it would be somebody else.
    door(b"user_namespaces", plain(number::UNSHARE, [NEW_USER, 0, 0, 0, 0]));
}

#[derive(Clone, Copy)]
struct Try {
    at: usize,
    socket: isize,
    is_tcp: bool,
    /// A TCP connection stands; what the other side says is awaited.
    is_up: bool,
    is_over: bool,
}

fn reach(arguments: &Arguments, first: usize) {
    let mut tries = [Try { at: 0, socket: -1, is_tcp: false, is_up: false, is_over: true }; MOST];
    for (index, one) in tries.iter_mut().enumerate() {
        let at = first + 3 * index;
        if arguments.bytes(at + 2).is_some() {
            begin(arguments, at, one);
        }
    }
    let deadline = now_ms() + PATIENCE_MS;
    while tries.iter().any(|one| !one.is_over) && now_ms() < deadline {
        turn(arguments, &mut tries, deadline - now_ms());
    }
    for one in tries.iter_mut().filter(|one| !one.is_over) {
        report(arguments, one, if one.is_up { b"connected" } else { b"silent" }, 0, b"");
    }
}

/// Begins a connection, or sends a datagram.
fn begin(arguments: &Arguments, at: usize, one: &mut Try) {
    let word = |offset: usize| arguments.bytes(at + offset).unwrap_or_default();
    *one = Try { at, socket: -1, is_tcp: word(0) == b"tcp", is_up: false, is_over: false };
    if word(0) == b"unix" {
        one.is_over = true;
        return door(b"abstract_socket", abstract_socket(word(1)));
    }
    let (Some((address, length)), Some(port)) = (text::address(word(1)), text::number(word(2))) else {
        return report(arguments, one, b"error", 22, b"");
    };
    if matches!(word(0), b"echo" | b"spoof" | b"forged" | b"frame") {
        one.socket = forge::send(word(0), address, port as u16);
        if one.socket < 0 {
            report(arguments, one, b"error", one.socket, b"");
        }
        return;
    }
    let (family, kind) = (if length == 4 { 2 } else { 10 }, if one.is_tcp { 1 } else { 2 });
    let (place, size) = socket_address(family, address, length, port as u16);
    one.socket = plain(number::SOCKET, [family, kind | O_NONBLOCK | CLOEXEC, 0, 0, 0]);
    if one.socket < 0 {
        return report(arguments, one, b"error", one.socket, b"");
    }
    // SAFETY: an address of `size` bytes.
    let mut answer = unsafe { call(number::CONNECT, [one.socket as usize, place.as_ptr() as usize, size, 0, 0, 0]) };
    if !one.is_tcp && answer == 0 {
        // A question for the root of all names; anybody who answers UDP may answer.
        const QUESTION: [u8; 17] = [0x50, 0x4b, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
        // SAFETY: the bytes live as long as the program.
        answer =
            unsafe { call(number::SENDTO, [one.socket as usize, QUESTION.as_ptr() as usize, QUESTION.len(), 0, 0, 0]) };
    }
    const IN_PROGRESS: isize = -115;
    if answer < 0 && answer != IN_PROGRESS {
        report(arguments, one, b"error", answer, b"");
    }
}

/// Connects to an abstract socket of that name.
fn abstract_socket(name: &[u8]) -> isize {
    let mut place = [0_u8; 108];
    place[0] = 1;
    // A zero before the name is what makes it abstract.
    place.iter_mut().skip(3).zip(name).for_each(|(to, from)| *to = *from);
    let socket = plain(number::SOCKET, [1, 1 | O_NONBLOCK | CLOEXEC, 0, 0, 0]);
    let size = 3 + name.len().min(100);
    // SAFETY: an address of `size` bytes.
    let answer = unsafe { call(number::CONNECT, [socket as usize, place.as_ptr() as usize, size, 0, 0, 0]) };
    close(socket);
    if socket < 0 { socket } else { answer }
}

pub fn socket_address(family: usize, address: [u8; 16], length: usize, port: u16) -> ([u8; 28], usize) {
    let mut place = [0_u8; 28];
    let [low, high] = (family as u16).to_le_bytes();
    let [first, second] = port.to_be_bytes();
    place[..4].copy_from_slice(&[low, high, first, second]);
    let begin = if length == 4 { 4 } else { 8 };
    for (to, from) in place.iter_mut().skip(begin).zip(address.iter().take(length)) {
        *to = *from;
    }
    (place, if length == 4 { 16 } else { 28 })
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Poll {
    file: i32,
    wanted: i16,
    found: i16,
}

/// Waits for the next of them, and asks all what they have.
fn turn(arguments: &Arguments, tries: &mut [Try; MOST], left_ms: i64) {
    const READABLE: i16 = 1;
    const WRITABLE: i16 = 4;
    let mut polls = [Poll { file: -1, wanted: 0, found: 0 }; MOST];
    for (poll, one) in polls.iter_mut().zip(tries.iter()).filter(|(_, one)| !one.is_over) {
        let wanted = if one.is_tcp && !one.is_up { WRITABLE } else { READABLE };
        *poll = Poll { file: one.socket as i32, wanted, found: 0 };
    }
    let time = [left_ms / 1000, left_ms % 1000 * 1_000_000];
    // SAFETY: the list is as long as said; no signal mask.
    unsafe { call(number::PPOLL, [polls.as_mut_ptr() as usize, MOST, time.as_ptr() as usize, 0, 8, 0]) };
    for (poll, one) in polls.iter().zip(tries.iter_mut()).filter(|(poll, _)| poll.found != 0) {
        look(arguments, one, poll.found & WRITABLE != 0);
    }
}

fn look(arguments: &Arguments, one: &mut Try, is_writable: bool) {
    const AGAIN: isize = -11;
    let mut said = [0_u8; 64];
    match read(one.socket, &mut said) {
        AGAIN if is_writable => one.is_up = true,
        AGAIN => {}
        error if error < 0 => report(arguments, one, b"error", error, b""),
        count => {
            let said = said.get(..count as usize).unwrap_or_default();
            report(arguments, one, if one.is_tcp { b"connected" } else { b"answered" }, 0, said);
        }
    }
}

fn report(arguments: &Arguments, one: &mut Try, what: &[u8], error: isize, said: &[u8]) {
    one.is_over = true;
    close(one.socket);
    say(1, b"reach");
    for offset in 0..3 {
        say(1, b" ");
        say(1, arguments.bytes(one.at + offset).unwrap_or_default());
    }
    say(1, b" ");
    say(1, what);
    if what == b"error" {
        say(1, b" ");
        text::print(error.unsigned_abs() as u64);
    }
    if said.iter().all(u8::is_ascii_alphanumeric) && !said.is_empty() {
        say(1, b" ");
        say(1, said);
    }
    say(1, b"\n");
}
