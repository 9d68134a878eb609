//! The program between bwrap's init and the tool. It lives in any root: static, without a C library, a few KiB.
//! Compiled by `build.rs`, not by cargo: it has its own panic handler and entry point.
//!
//! ```text
//! scan-init probe [KIND ADDRESS PORT]...      what is this sandbox, and whom does it reach? (the kinds: see `probe.rs`)
//! scan-init run FILE MAX-BYTES PROGRAM ARG... runs the tool, then copies its report to standard output
//! scan-init raw FILE MAX-BYTES PROGRAM ARG... the same, with the right to raw sockets and no other right
//! ```
//!
//! `FILE` is `-` where the tool writes to standard output itself. The last thing before the tool is Landlock's lock on files.
//! It must never follow what the tool left behind out of
//! a plain file: see `run.rs`.
#![no_std]
#![no_main]

mod files;
mod forge;
mod kernel;
mod memory;
mod probe;
mod rights;
mod run;
mod text;

use core::panic::PanicInfo;

use kernel::{exit, say};

/// It was called in a way that the sandbox never does, or has a fault.
const WRONG_USE: i32 = 125;

/// The stack begins with the number of arguments, and their addresses follow.
#[unsafe(no_mangle)]
extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: the kernel's contract for a new program's stack.
    let arguments = unsafe { text::Arguments::of(stack) };
    let code = match arguments.bytes(1) {
        None => probe::look_around(&arguments, 1),
        Some(b"probe") => probe::look_around(&arguments, 2),
        Some(b"run") => run::run(&arguments, false),
        Some(b"raw") => run::run(&arguments, true),
        Some(_) => wrong_use(),
    };
    exit(code)
}

fn wrong_use() -> i32 {
    say(2, b"scan-init: expected probe, run or raw\n");
    WRONG_USE
}

#[panic_handler]
fn broken(_: &PanicInfo<'_>) -> ! {
    say(2, b"scan-init: a fault of its own\n");
    exit(WRONG_USE)
}
