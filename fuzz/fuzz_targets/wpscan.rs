//! Any bytes as a report of wpscan.

#![no_main]

picket_fuzz::target!("wpscan");
