//! Any bytes as a report of naabu.

#![no_main]

picket_fuzz::target!("naabu");
