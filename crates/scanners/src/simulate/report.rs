//! Reads what a simulated run printed. No file is ever recognized as one: nobody can import a simulation.

use std::io::BufRead;

use picket_domain::{Gap, Observation, Severity};

use super::{SLUG, output::END};
use crate::{
    Context, Format, Head, Parsed, json,
    tally::Tally,
    weakness::{Place, Weakness},
};

/// The severities in turn, so that lists have some of each.
const SEVERITIES: [Severity; 5] = [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

/// The output of a simulated run.
pub(super) struct Report;

impl Format for Report {
    fn tool(&self) -> &'static str {
        SLUG
    }

    fn name(&self) -> &'static str {
        "text"
    }

    fn recognizes(&self, _head: &Head<'_>) -> bool {
        false
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        let mut tally = Tally::new(sink);
        let mut is_ended = false;
        let read = json::lines(input, &mut |line| match line {
            [b'#', ..] => {}
            line if line == END.as_bytes() => is_ended = true,
            line => match (number(line), context.host) {
                (Some(number), Some(host)) => tally.tell(finding(number, host)),
                _ => tally.garbled(),
            },
        });
        let gap = match read {
            Err(fault) => Some((Gap::OutputIncomplete, fault.to_string())),
            Ok(_) if !is_ended => Some((Gap::OutputIncomplete, "the output breaks off before its end".to_owned())),
            Ok(_) => None,
        };
        tally.end(gap)
    }
}

fn number(line: &[u8]) -> Option<usize> {
    std::str::from_utf8(line).ok()?.strip_prefix("finding ")?.parse().ok()
}

fn finding(number: usize, host: &str) -> Observation {
    let severity = SEVERITIES.get(number % SEVERITIES.len()).copied().unwrap_or(Severity::Info);
    let evidence = "Nothing was looked at.";
    Weakness::of_tool("simulate:finding", severity, "A simulated finding", "It is not there.", evidence)
        .about(&number.to_string())
        .observed(&Place::of(host))
}
