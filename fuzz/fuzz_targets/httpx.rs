//! Any bytes as a report of httpx.

#![no_main]

picket_fuzz::target!("httpx");
