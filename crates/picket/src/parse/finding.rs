//! Findings as one JSON object. What is known only at the end (`complete`, `reason`) stands behind them.

use std::io::{self, Write};

use picket_domain::Observation;
use picket_scanners::{Format, Parsed};
use serde::Serialize;
use serde_json::json;

use super::Output;

/// One finding, as scripts read it.
#[derive(Debug, Serialize)]
struct Finding<'o> {
    rule: &'o str,
    title: &'o str,
    severity: &'static str,
    cve: Option<&'o str>,
    cvss: Option<f64>,
    cwe: Option<u32>,
    host: &'o str,
    port: Option<u16>,
    protocol: Option<&'static str>,
    url: Option<&'o str>,
    subject: &'o str,
    fingerprint: String,
    confidence: &'static str,
    description: &'o str,
    evidence: &'o str,
    remediation: &'o str,
    references: &'o [String],
}

impl<'o> From<&'o Observation> for Finding<'o> {
    fn from(observation: &'o Observation) -> Self {
        let location = &observation.location;
        Self {
            rule: &observation.rule,
            title: &observation.title,
            severity: observation.severity.name(),
            cve: observation.cve.as_deref(),
            cvss: observation.cvss,
            cwe: observation.cwe,
            host: &location.host,
            port: location.port,
            protocol: location.protocol.map(picket_domain::Protocol::name),
            url: location.url.as_deref(),
            subject: &observation.subject,
            fingerprint: hexadecimal(&observation.fingerprint()),
            confidence: observation.confidence.name(),
            description: &observation.description,
            evidence: &observation.evidence,
            remediation: &observation.remediation,
            references: &observation.references,
        }
    }
}

/// A fingerprint as scripts read it.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The object with one finding in each line.
pub(super) struct Lines {
    tool: &'static str,
    format: &'static str,
    is_first: bool,
}

impl Lines {
    pub(super) fn new(format: &'static dyn Format) -> Self {
        Self { tool: format.tool(), format: format.name(), is_first: true }
    }
}

impl Output for Lines {
    fn begin(&mut self, writer: &mut dyn Write) -> io::Result<()> {
        write!(writer, "{{\"tool\":{},\"format\":{},\"findings\":[", json!(self.tool), json!(self.format))
    }

    fn finding(&mut self, writer: &mut dyn Write, observation: &Observation) -> io::Result<()> {
        writer.write_all(if self.is_first { b"\n" } else { b",\n" })?;
        self.is_first = false;
        Ok(serde_json::to_writer(writer, &Finding::from(observation))?)
    }

    fn end(&mut self, writer: &mut dyn Write, parsed: &Parsed) -> io::Result<()> {
        write!(writer, "],\n\"complete\":{}", parsed.is_complete())?;
        if !parsed.is_complete() {
            write!(writer, ",\"reason\":{}", json!(parsed.reason))?;
        }
        writeln!(writer, "}}")
    }
}
