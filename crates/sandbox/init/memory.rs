//! What the compiler expects of every program: copying, filling and comparing memory. No C library is there to do it.

use core::ptr::{read_volatile, write_volatile};

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: the caller promises `count` bytes on both sides. Volatile, or the loop would become a call of itself.
        unsafe { write_volatile(to.add(at), read_volatile(from.add(at))) };
    }
    to
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: the caller promises `count` bytes.
        unsafe { write_volatile(to.add(at), byte.to_le_bytes()[0]) };
    }
    to
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    for at in 0..count {
        // SAFETY: the caller promises `count` bytes on both sides.
        let (a, b) = unsafe { (read_volatile(left.add(at)), read_volatile(right.add(at))) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    // SAFETY: the same promise.
    unsafe { memcmp(left, right, count) }
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: the caller promises a zero at the end.
    while unsafe { read_volatile(text.add(length)) } != 0 {
        length += 1;
    }
    length
}
