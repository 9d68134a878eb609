//! Any bytes as a report of sarif.

#![no_main]

picket_fuzz::target!("sarif");
