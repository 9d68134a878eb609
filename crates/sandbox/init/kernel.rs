//! System calls, their numbers and their structures, for both architectures. Nothing here decides anything.

use core::arch::{asm, global_asm};

#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {begin}",
    begin = sym crate::begin,
);

#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, #0", "mov x0, sp", "bl {begin}", begin = sym crate::begin);

#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
pub mod number {
    pub const READ: usize = 0;      pub const WRITE: usize = 1;     pub const CLOSE: usize = 3;
    pub const PRCTL: usize = 157;   pub const KILL: usize = 62;     pub const CLONE: usize = 56;
    pub const EXECVE: usize = 59;   pub const WAIT4: usize = 61;    pub const EXIT: usize = 231;
    pub const SOCKET: usize = 41;   pub const CONNECT: usize = 42;  pub const SENDTO: usize = 44;
    pub const OPENAT: usize = 257;  pub const DUP3: usize = 292;    pub const STATX: usize = 332;
    pub const CAPSET: usize = 126;  pub const UNSHARE: usize = 272; pub const MOUNT: usize = 165;
    pub const BPF: usize = 321;     pub const PTRACE: usize = 101;  pub const KEYCTL: usize = 250;
    pub const PPOLL: usize = 271;   pub const IOCTL: usize = 16;    pub const GETSOCKNAME: usize = 51;
    pub const CLOCK: usize = 228;   pub const RING: usize = 425;    pub const SETSOCKOPT: usize = 54;
    pub const LANDLOCK_CREATE: usize = 444;    pub const LANDLOCK_ADD: usize = 445;
    pub const LANDLOCK_RESTRICT: usize = 446;
}

#[cfg(target_arch = "aarch64")]
#[rustfmt::skip]
pub mod number {
    pub const READ: usize = 63;     pub const WRITE: usize = 64;    pub const CLOSE: usize = 57;
    pub const PRCTL: usize = 167;   pub const KILL: usize = 129;    pub const CLONE: usize = 220;
    pub const EXECVE: usize = 221;  pub const WAIT4: usize = 260;   pub const EXIT: usize = 94;
    pub const SOCKET: usize = 198;  pub const CONNECT: usize = 203; pub const SENDTO: usize = 206;
    pub const OPENAT: usize = 56;   pub const DUP3: usize = 24;     pub const STATX: usize = 291;
    pub const CAPSET: usize = 91;   pub const UNSHARE: usize = 97;  pub const MOUNT: usize = 40;
    pub const BPF: usize = 280;     pub const PTRACE: usize = 117;  pub const KEYCTL: usize = 219;
    pub const PPOLL: usize = 73;    pub const IOCTL: usize = 29;    pub const GETSOCKNAME: usize = 204;
    pub const CLOCK: usize = 113;   pub const RING: usize = 425;    pub const SETSOCKOPT: usize = 208;
    pub const LANDLOCK_CREATE: usize = 444;    pub const LANDLOCK_ADD: usize = 445;
    pub const LANDLOCK_RESTRICT: usize = 446;
}

/// One system call; a negative answer is an error number.
///
/// # Safety
/// Addresses among the arguments must be what the call expects, for as long as it needs them.
#[cfg(target_arch = "x86_64")]
pub unsafe fn call(number: usize, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let answer: isize;
    // SAFETY: the kernel changes the answer, rcx and r11 alone, and the memory that the caller vouches for.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => answer, in("rdi") a, in("rsi") b, in("rdx") c,
             in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    answer
}

/// One system call; a negative answer is an error number.
///
/// # Safety
/// Addresses among the arguments must be what the call expects, for as long as it needs them.
#[cfg(target_arch = "aarch64")]
pub unsafe fn call(number: usize, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let answer: isize;
    // SAFETY: the kernel changes the answer alone, and the memory that the caller vouches for.
    unsafe {
        asm!("svc #0", in("x8") number, inlateout("x0") a as isize => answer, in("x1") b, in("x2") c, in("x3") d,
             in("x4") e, in("x5") f, options(nostack));
    }
    answer
}

/// A call that takes numbers alone.
pub fn plain(number: usize, arguments: [usize; 5]) -> isize {
    let [a, b, c, d, e] = arguments;
    // SAFETY: only calls without addresses, or with the null one, come here.
    unsafe { call(number, [a, b, c, d, e, 0]) }
}

pub fn exit(code: i32) -> ! {
    loop {
        plain(number::EXIT, [code as usize, 0, 0, 0, 0]);
    }
}

pub fn close(file: isize) {
    plain(number::CLOSE, [file as usize, 0, 0, 0, 0]);
}

/// Reads into `buffer`; zero is the end, a negative number an error. Interrupted calls are repeated.
pub fn read(file: isize, buffer: &mut [u8]) -> isize {
    loop {
        // SAFETY: the buffer is ours and as long as said.
        match unsafe { call(number::READ, [file as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0]) } {
            INTERRUPTED => {}
            count => return count,
        }
    }
}

/// Writes all of it, or says that it could not.
pub fn say(file: isize, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        // SAFETY: the bytes are readable and as many as said.
        match unsafe { call(number::WRITE, [file as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]) } {
            INTERRUPTED => {}
            count if count <= 0 => return false,
            count => bytes = bytes.get(count as usize..).unwrap_or_default(),
        }
    }
    true
}

/// Opens a path that ends with zero.
pub fn open(path: *const u8, flags: usize) -> isize {
    // SAFETY: callers give texts that end with zero.
    unsafe { call(number::OPENAT, [AT_CWD as usize, path as usize, flags, 0, 0, 0]) }
}

/// Milliseconds on a clock that only goes forward.
pub fn now_ms() -> i64 {
    let mut time = [0_i64; 2];
    // SAFETY: the kernel fills two numbers. 1 is CLOCK_MONOTONIC.
    unsafe { call(number::CLOCK, [1, time.as_mut_ptr() as usize, 0, 0, 0, 0]) };
    time[0] * 1000 + time[1] / 1_000_000
}

pub const INTERRUPTED: isize = -4;
pub const AT_CWD: isize = -100;
pub const O_WRONLY: usize = 0o1;
pub const O_NONBLOCK: usize = 0o4000;
pub const O_CLOEXEC: usize = 0o2000000;
/// `O_NOFOLLOW`, which differs.
#[cfg(target_arch = "x86_64")]
pub const O_NOFOLLOW: usize = 0o400000;
/// `O_NOFOLLOW`, which differs.
#[cfg(target_arch = "aarch64")]
pub const O_NOFOLLOW: usize = 0o100000;
