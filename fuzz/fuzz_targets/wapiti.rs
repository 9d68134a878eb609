//! Any bytes as a report of wapiti.

#![no_main]

picket_fuzz::target!("wapiti");
