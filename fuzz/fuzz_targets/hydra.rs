//! Any bytes as a report of hydra.

#![no_main]

picket_fuzz::target!("hydra");
