//! Any bytes as a report of gobuster.

#![no_main]

picket_fuzz::target!("gobuster");
