//! Runs the tool, waits, and copies its report from the inside: nobody outside ever opens a path of a sandbox.
//!
//! The tool is hostile: what lies at the report's path may be a link, a pipe, a device or a file that something still
//! writes. All its processes are ended first; then only a regular file with one name is read, and no link is followed.

use crate::kernel::{O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK, call, close, exit, number, open, plain, read, say};
use crate::files;
use crate::rights;
use crate::text::{Arguments, number as decimal};

/// The tool could not be started; what a shell answers too.
const NOT_STARTED: i32 = 127;
const SIGKILL: usize = 9;
const SIGCHLD: usize = 17;
const SET_DUMPABLE: usize = 4;

pub fn run(arguments: &Arguments, is_raw: bool) -> i32 {
    let (Some(file), Some(most)) = (arguments.bytes(2), arguments.bytes(3).and_then(decimal)) else {
        return crate::wrong_use();
    };
    if arguments.address(4).is_none() {
        return crate::wrong_use();
    }
    if is_raw && !rights::keep_raw_alone() {
        say(2, b"scan-init: cannot keep the right to raw sockets\n");
        return crate::WRONG_USE;
    }
    if file == b"-" {
        return become_tool(arguments);
    }
    // The tool has the same uid: it must not write to this process's memory.
    plain(number::PRCTL, [SET_DUMPABLE, 0, 0, 0, 0]);
    match plain(number::CLONE, [SIGCHLD, 0, 0, 0, 0]) {
        0 => {
            // What the tool prints is no report.
            plain(number::DUP3, [2, 1, 0, 0, 0]);
            exit(become_tool(arguments))
        }
        child if child > 0 => end_of(child, arguments, most),
        _ => {
            say(2, b"scan-init: cannot start a process\n");
            NOT_STARTED
        }
    }
}

fn become_tool(arguments: &Arguments) -> i32 {
    let Some(program) = arguments.address(4) else { return NOT_STARTED };
    if !files::lock() {
        say(2, b"scan-init: cannot lock the files\n");
        return NOT_STARTED;
    }
    let (list, environment) = (arguments.rest(4) as usize, arguments.environment() as usize);
    // SAFETY: the kernel's own lists, ended by null.
    unsafe { call(number::EXECVE, [program as usize, list, environment, 0, 0, 0]) };
    say(2, b"scan-init: cannot start the tool\n");
    NOT_STARTED
}

fn end_of(child: isize, arguments: &Arguments, most: u64) -> i32 {
    let status = await_end(child);
    // Everything else that the tool started; this process and the first of the namespace are spared by the kernel.
    plain(number::KILL, [usize::MAX, SIGKILL, 0, 0, 0]);
    if let Some(path) = arguments.address(2) {
        copy_report(path, most);
    }
    match status & 0x7f {
        0 => (status >> 8) & 0xff,
        signal => 128 + signal,
    }
}

fn await_end(child: isize) -> i32 {
    let mut status = 0_i32;
    loop {
        let place = (&raw mut status) as usize;
        // SAFETY: the kernel writes one number there.
        let ended = unsafe { call(number::WAIT4, [usize::MAX, place, 0, 0, 0, 0]) };
        if ended == child {
            return status;
        }
        if ended < 0 && ended != crate::kernel::INTERRUPTED {
            return 127 << 8;
        }
    }
}

fn copy_report(path: *const u8, most: u64) {
    let file = open(path, O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if file < 0 {
        say(2, b"scan-init: the tool left no report\n");
        return;
    }
    if is_plain(file) {
        copy(file, most);
    } else {
        say(2, b"scan-init: the report is not a plain file\n");
    }
    close(file);
}

/// A regular file with one name.
fn is_plain(file: isize) -> bool {
    const EMPTY_PATH: usize = 0x1000;
    const TYPE_AND_LINKS: usize = 0x1 | 0x4;
    let mut entry = [0_u32; 64];
    let arguments = [file as usize, c"".as_ptr() as usize, EMPTY_PATH, TYPE_AND_LINKS, entry.as_mut_ptr() as usize, 0];
    // SAFETY: `struct statx` has 256 bytes on every architecture.
    let answer = unsafe { call(number::STATX, arguments) };
    // Links at byte 16; the mode in the low half of byte 28 on.
    let (links, mode) = (entry[4], entry[7] & 0xf000);
    answer == 0 && mode == 0x8000 && links == 1
}

/// One byte beyond the most is copied too: it tells the reader that there is more.
fn copy(file: isize, most: u64) {
    let mut buffer = [0_u8; 16 << 10];
    let mut left = most.saturating_add(1);
    while left > 0 {
        let count = read(file, &mut buffer);
        let Ok(count) = usize::try_from(count) else {
            say(2, b"scan-init: the report cannot be read\n");
            return;
        };
        let wanted = count.min(usize::try_from(left).unwrap_or(usize::MAX));
        if wanted == 0 || !say(1, buffer.get(..wanted).unwrap_or_default()) {
            return;
        }
        left -= wanted as u64;
    }
}
