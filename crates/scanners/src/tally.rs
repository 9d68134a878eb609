//! Counts the observations that a parser tells, and bounds them. Shared by all parsers but nmap's, which ranks its gaps
//! itself and keeps to the same bound.

use picket_domain::{Gap, Observation};

use crate::{Parsed, text};

/// Observations of one output. More would drown the reader; the result is then marked as cut.
pub(crate) const MAX_OBSERVATIONS: u64 = 500_000;
const MAX_REASON_BYTES: usize = 300;

/// What was told so far. Does not grow with the output.
pub(crate) struct Tally<'s> {
    sink: &'s mut dyn FnMut(Observation),
    observations: u64,
    limit: u64,
    is_cut: bool,
    garbled: u64,
    hosts_up: u64,
}

impl<'s> Tally<'s> {
    /// A tally that hands observations to `sink`.
    pub(crate) fn new(sink: &'s mut dyn FnMut(Observation)) -> Self {
        Self { sink, observations: 0, limit: MAX_OBSERVATIONS, is_cut: false, garbled: 0, hosts_up: 0 }
    }

    /// One observation.
    pub(crate) fn tell(&mut self, observation: Observation) {
        if self.observations < self.limit {
            self.observations = self.observations.saturating_add(1);
            (self.sink)(observation);
        } else {
            self.is_cut = true;
        }
    }

    /// A record that cannot be understood, for instance one without a usable host: it is left out, and the result says so.
    pub(crate) const fn garbled(&mut self) {
        self.garbled = self.garbled.saturating_add(1);
    }

    /// Something was understood and is not kept, since it is too much.
    pub(crate) const fn cut(&mut self) {
        self.is_cut = true;
    }

    /// A host was examined.
    pub(crate) const fn host_up(&mut self) {
        self.hosts_up = self.hosts_up.saturating_add(1);
    }

    /// Hosts so far.
    pub(crate) const fn hosts(&self) -> u64 {
        self.hosts_up
    }

    /// The end: `gap` is what the parser itself has to say of it.
    pub(crate) fn end(self, gap: Option<(Gap, String)>) -> Parsed {
        let own = if self.garbled > 0 {
            Some((
                Gap::OutputIncomplete,
                format!("the output holds {} records that cannot be understood", self.garbled),
            ))
        } else if self.is_cut {
            Some((Gap::OutputTruncated, "the output holds more than can be kept".to_owned()))
        } else {
            None
        };
        let (gap, reason) = gap.or(own).map_or((None, String::new()), |(gap, reason)| (Some(gap), reason));
        let reason = text::line(&reason, MAX_REASON_BYTES);
        Parsed { gap, reason, observations: self.observations, hosts_up: self.hosts_up, ..Parsed::default() }
    }

    /// The end of a file that is not what it should be, or that is hostile. What was told before stays counted.
    pub(crate) fn refuse(self, reason: impl Into<String>) -> Parsed {
        Parsed { is_refused: true, ..self.end(Some((Gap::OutputIncomplete, reason.into()))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rules,
        weakness::{Place, Weakness},
    };

    #[test]
    fn what_is_too_much_is_cut_and_said() {
        let mut kept = 0;
        let mut sink = |_| kept += 1;
        let mut tally = Tally { limit: 2, ..Tally::new(&mut sink) };
        for _ in 0..3 {
            tally.tell(Weakness::of(rules::HOST_UP, "").observed(&Place::of("192.0.2.1")));
        }
        let parsed = tally.end(None);
        assert_eq!((parsed.observations, parsed.gap, kept), (2, Some(Gap::OutputTruncated), 2));
    }

    #[test]
    fn a_record_that_is_not_understood_is_never_silent() {
        let mut sink = |_| {};
        let mut tally = Tally::new(&mut sink);
        tally.garbled();
        assert_eq!(tally.end(None).gap, Some(Gap::OutputIncomplete));
    }
}
