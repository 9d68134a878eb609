//! Any bytes as a report of nikto.

#![no_main]

picket_fuzz::target!("nikto");
