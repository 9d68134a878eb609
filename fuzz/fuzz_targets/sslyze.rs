//! Any bytes as a report of sslyze.

#![no_main]

picket_fuzz::target!("sslyze");
