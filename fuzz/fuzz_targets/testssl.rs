//! Any bytes as a report of testssl.

#![no_main]

picket_fuzz::target!("testssl");
