//! Landlock's second lock on files, below bwrap's mounts: the tool reads and runs what its root holds, writes its scratch
//! and devices, and nothing else (so it writes no file of `/proc`, whatever its mode). Entered after bwrap, since a process in such
//! a domain may not mount.

use crate::kernel::{O_CLOEXEC, call, close, number, open, plain};

/// The first version that covers every way of changing a file's content (`truncate`, Linux 6.2). Older ones are left out
/// whole: the self-test then proves no level whose files rest on it.
const LEAST: isize = 3;
/// From this version on, requests to devices are covered as well (Linux 6.10).
const WITH_REQUESTS: isize = 5;

const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_BLOCK: u64 = 1 << 11;
const TRUNCATE: u64 = 1 << 14;
const REQUEST_DEVICE: u64 = 1 << 15;
const ALL: u64 = (1 << 15) - 1;

const VERSION: usize = 1;
const BENEATH: usize = 1;
const O_PATH: usize = 0o10000000;

/// Enters the domain for ever. False when a kernel that has it refuses; nothing happens on one that has it not.
pub fn lock() -> bool {
    let version = plain(number::LANDLOCK_CREATE, [0, 0, VERSION, 0, 0]);
    if version < LEAST {
        return true;
    }
    let requests = if version < WITH_REQUESTS { 0 } else { REQUEST_DEVICE };
    let handled = ALL | requests;
    let size = core::mem::size_of::<u64>();
    // SAFETY: the kernel reads as many bytes as are said.
    let rules = unsafe { call(number::LANDLOCK_CREATE, [(&raw const handled) as usize, size, 0, 0, 0, 0]) };
    if rules < 0 {
        return false;
    }
    let scratch = ALL & !(EXECUTE | MAKE_CHAR | MAKE_BLOCK);
    let is_ruled = allow(rules, c"/", EXECUTE | READ_FILE | READ_DIR)
        && allow(rules, c"/dev", READ_FILE | WRITE_FILE | TRUNCATE | requests)
        && allow(rules, c"/scratch", scratch)
        && allow(rules, c"/tmp", scratch)
        && allow(rules, c"/dev/shm", scratch);
    let is_in = is_ruled && plain(number::LANDLOCK_RESTRICT, [rules as usize, 0, 0, 0, 0]) == 0;
    close(rules);
    is_in
}

/// The kernel's `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct Beneath {
    rights: u64,
    folder: i32,
}

fn allow(rules: isize, folder: &core::ffi::CStr, rights: u64) -> bool {
    let file = open(folder.as_ptr().cast(), O_PATH | O_CLOEXEC);
    if file < 0 {
        return false;
    }
    let rule = Beneath { rights, folder: file as i32 };
    // SAFETY: the kernel reads twelve bytes there.
    let answer =
        unsafe { call(number::LANDLOCK_ADD, [rules as usize, BENEATH, (&raw const rule) as usize, 0, 0, 0]) };
    close(file);
    answer == 0
}
