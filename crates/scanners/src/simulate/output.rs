//! What a simulated run prints, made while it is read: its memory does not grow with what was asked for.

use std::io::{self, Read};

use super::Simulation;

/// A finding's number in eight digits, so that every line has one length.
const FINDING_BYTES: u64 = 17;
/// A line of noise.
const NOISE: &[u8; 64] = b"# noise noise noise noise noise noise noise noise noise noise n\n";
/// The mark of the end.
pub(super) const END: &str = "end";

/// The output of one run.
pub(super) struct Output {
    findings: u32,
    told: u32,
    noise: u64,
    has_end: bool,
    line: Vec<u8>,
    at: usize,
}

impl Output {
    pub(super) fn new(simulation: &Simulation) -> Self {
        Self {
            findings: simulation.findings,
            told: 0,
            noise: simulation.flood.into(),
            has_end: simulation.ends_well(),
            line: Vec::new(),
            at: 0,
        }
    }

    /// How many bytes are still to come; of a fresh one, all.
    pub(super) fn remaining(&self) -> u64 {
        let findings = u64::from(self.findings.saturating_sub(self.told)).saturating_mul(FINDING_BYTES);
        // The line feed that ends a cut line of noise belongs to it.
        let end = if self.has_end { u64::try_from(END.len()).unwrap_or_default().saturating_add(1) } else { 0 };
        findings.saturating_add(self.noise).saturating_add(end)
    }

    fn next_line(&mut self) {
        self.line.clear();
        self.at = 0;
        if self.told < self.findings {
            self.told = self.told.saturating_add(1);
            self.line.extend_from_slice(format!("finding {:08}\n", self.told).as_bytes());
        } else if self.noise > 0 {
            let length = self.noise.min(64);
            self.noise = self.noise.saturating_sub(length);
            // The last line may be short: its end is a line feed all the same.
            let start = NOISE.len().saturating_sub(usize::try_from(length).unwrap_or_default());
            self.line.extend_from_slice(if start == 0 { NOISE } else { NOISE.get(start..).unwrap_or_default() });
            if let Some(first) = self.line.first_mut().filter(|_| length > 1) {
                *first = b'#';
            }
        } else if self.has_end {
            self.has_end = false;
            self.line.extend_from_slice(END.as_bytes());
            self.line.push(b'\n');
        }
    }
}

impl Read for Output {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let mut written: usize = 0;
        while let Some(room) = target.get_mut(written..).filter(|room| !room.is_empty()) {
            if self.at == self.line.len() {
                self.next_line();
            }
            let rest = self.line.get(self.at..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            let count = rest.len().min(room.len());
            for (to, from) in room.iter_mut().zip(rest) {
                *to = *from;
            }
            (self.at, written) = (self.at.saturating_add(count), written.saturating_add(count));
        }
        Ok(written)
    }
}
