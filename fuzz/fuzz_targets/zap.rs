//! Any bytes as a report of zap.

#![no_main]

picket_fuzz::target!("zap");
