//! Any bytes as a report of wafw00f.

#![no_main]

picket_fuzz::target!("wafw00f");
