//! Any bytes as a report of sqlmap.

#![no_main]

picket_fuzz::target!("sqlmap");
