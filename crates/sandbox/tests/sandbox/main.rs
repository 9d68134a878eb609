//! The sandbox against hostile programs: the battery of `tests/hostile/`, one abuse per test, and every way to kill.
//!
//! Needs bubblewrap (`PICKET_BWRAP`, or `/usr/bin/bwrap`) and a C compiler; without them the tests fail and say so.
//! Run as root they also run the battery as an ordinary user.
#![expect(clippy::unwrap_used, reason = "tests; clippy's own exception does not reach the functions beside them")]
#![expect(clippy::expect_used, reason = "tests; clippy's own exception does not reach the functions beside them")]
#![expect(clippy::panic, reason = "tests; clippy's own exception does not reach the functions beside them")]

mod around;
mod battery;
mod death;
mod everybody;
mod files;
mod isolation;
mod levels;
mod limits;
mod loopback6;
mod neighbors;
mod nmap;
mod process;
mod raw;
mod room;
mod roots;
mod stand_in;
mod verdicts;
mod warm;
