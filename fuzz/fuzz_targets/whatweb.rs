//! Any bytes as a report of whatweb.

#![no_main]

picket_fuzz::target!("whatweb");
