//! Any bytes as a report of sslscan.

#![no_main]

picket_fuzz::target!("sslscan");
