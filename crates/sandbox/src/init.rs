//! The program of ours that runs inside: its source is in `init/`, compiled by `build.rs`.
//!
//! A tool's root holds the tool alone, so it is brought along: static, without a C library, a few KiB.

/// The program as an executable file.
pub(crate) const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/scan-init"));

/// Where a run finds it, if it has one.
pub(crate) const PATH: &str = "/dev/scan-init";

/// How its complaint ends when there is no tool to start.
pub(crate) const NOT_STARTED: &str = "scan-init: cannot start the tool\n";
