//! Findings as lines for the eye. The parsers removed whatever could steer a terminal.

use std::io::{self, Write};

use picket_domain::Observation;
use picket_scanners::{Format, Parsed};

use super::Output;

/// Widths are fixed, since a line is written before the next one is known.
const RULE: usize = 34;
const PLACE: usize = 44;

pub(super) struct Table {
    tool: &'static str,
    format: &'static str,
}

impl Table {
    pub(super) fn new(format: &'static dyn Format) -> Self {
        Self { tool: format.tool(), format: format.name() }
    }
}

impl Output for Table {
    fn begin(&mut self, writer: &mut dyn Write) -> io::Result<()> {
        writeln!(writer, "{:<8}  {:<RULE$}  {:<PLACE$}  TITLE", "SEVERITY", "RULE", "WHERE")
    }

    fn finding(&mut self, writer: &mut dyn Write, observation: &Observation) -> io::Result<()> {
        let rule = shortened(observation.cve.as_deref().unwrap_or(&observation.rule), RULE);
        let place = shortened(&observation.location.to_string(), PLACE);
        let severity = observation.severity.name();
        let title = observation.title.replace('\n', " ");
        let about = if observation.subject.is_empty() { String::new() } else { format!(" ({})", observation.subject) };
        writeln!(writer, "{severity:<8}  {rule:<RULE$}  {place:<PLACE$}  {title}{about}")
    }

    fn end(&mut self, writer: &mut dyn Write, parsed: &Parsed) -> io::Result<()> {
        let state = if parsed.is_complete() { "complete".to_owned() } else { format!("incomplete: {}", parsed.reason) };
        writeln!(writer, "\n{} findings in a report of {} ({}), {state}", parsed.observations, self.tool, self.format)
    }
}

fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
