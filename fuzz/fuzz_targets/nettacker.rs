//! Any bytes as a report of nettacker.

#![no_main]

picket_fuzz::target!("nettacker");
