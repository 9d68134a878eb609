//! Any bytes as a report of trivy.

#![no_main]

picket_fuzz::target!("trivy");
