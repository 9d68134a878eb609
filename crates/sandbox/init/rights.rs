//! Raw sockets and no other right: what the tool may become by running any program is nothing more than that.

use crate::kernel::{call, number, plain};

const NET_RAW: u32 = 13;
const CAPABILITIES: usize = 64;

const DROP_FROM_BOUNDING_SET: usize = 24;
const SET_SECURE_BITS: usize = 28;
const AMBIENT: usize = 47;
const AMBIENT_RAISE: usize = 2;
/// No rights for uid 0, no change of rights with the uid, and neither can be taken back.
const SECURE_BITS: usize = 0b1111;

/// Keeps the right to raw sockets, through `execve` as well, and gives up every other one for ever.
pub fn keep_raw_alone() -> bool {
    for capability in (0..CAPABILITIES).filter(|capability| *capability != NET_RAW as usize) {
        // The kernel knows fewer than 64: the others are refused.
        plain(number::PRCTL, [DROP_FROM_BOUNDING_SET, capability, 0, 0, 0]);
    }
    plain(number::PRCTL, [SET_SECURE_BITS, SECURE_BITS, 0, 0, 0]) == 0
        && set(1 << NET_RAW)
        && plain(number::PRCTL, [AMBIENT, AMBIENT_RAISE, NET_RAW as usize, 0, 0]) == 0
}

/// Effective, permitted and inheritable capabilities.
fn set(low: u32) -> bool {
    let header = [0x2008_0522_u32, 0];
    let sets = [low, low, low, 0, 0, 0];
    // SAFETY: version 3 of the call reads two and six numbers.
    unsafe { call(number::CAPSET, [header.as_ptr() as usize, sets.as_ptr() as usize, 0, 0, 0, 0]) == 0 }
}
