//! Any bytes as a report of ffuf.

#![no_main]

picket_fuzz::target!("ffuf");
