//! Any bytes as a report of openvas.

#![no_main]

picket_fuzz::target!("openvas");
