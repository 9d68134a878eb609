//! Any bytes as a report of ssh-audit.

#![no_main]

picket_fuzz::target!("ssh-audit");
