//! Any bytes as a report of dirsearch.

#![no_main]

picket_fuzz::target!("dirsearch");
