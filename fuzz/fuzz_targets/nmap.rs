//! Any bytes as a report of nmap.

#![no_main]

picket_fuzz::target!("nmap");
