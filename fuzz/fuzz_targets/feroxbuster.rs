//! Any bytes as a report of feroxbuster.

#![no_main]

picket_fuzz::target!("feroxbuster");
