//! Any bytes as a report of wfuzz.

#![no_main]

picket_fuzz::target!("wfuzz");
