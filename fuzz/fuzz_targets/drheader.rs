//! Any bytes as a report of drheader.

#![no_main]

picket_fuzz::target!("drheader");
