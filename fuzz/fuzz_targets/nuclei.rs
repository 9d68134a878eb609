//! Any bytes as a report of nuclei.

#![no_main]

picket_fuzz::target!("nuclei");
