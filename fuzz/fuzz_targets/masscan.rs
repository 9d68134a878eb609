//! Any bytes as a report of masscan.

#![no_main]

picket_fuzz::target!("masscan");
