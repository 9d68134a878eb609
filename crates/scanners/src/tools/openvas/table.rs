//! The CSV export.

use std::io::BufRead;

use super::result::Result;
use crate::{
    Context, Parsed, import,
    table::{self, Row},
    tally::Tally,
    text,
};

const MAX_TEXT_BYTES: usize = 8 << 10;

pub(super) fn read(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let mut faults = 0_u64;
    let end = table::rows(input, "nvt oid", &mut |row| {
        if !result(row).tell(context, &mut tally) {
            faults = faults.saturating_add(1);
        }
    });
    match end {
        Err(reason) => import::incomplete(tally, reason),
        Ok(()) if faults > 0 => import::incomplete(tally, "the report tells of errors of the scan"),
        Ok(()) => import::unmarked(tally.end(None)),
    }
}

fn result(row: &Row<'_>) -> Result {
    let cell = |name: &str| text::prefix(row.get(name), MAX_TEXT_BYTES).to_owned();
    let references = row.get("other references");
    let links = references.split([',', ' ', '\n']).map(|link| link.trim().trim_start_matches("URL:"));
    let links = links.filter(|link| link.starts_with("http")).take(16).map(|link| text::line(link, 500)).collect();
    Result {
        host: cell("ip"),
        hostname: cell("hostname"),
        port: format!("{}/{}", row.get("port"), row.get("port protocol")),
        oid: cell("nvt oid"),
        name: cell("nvt name"),
        severity: cell("cvss"),
        threat: cell("severity"),
        qod: cell("qod"),
        summary: [row.get("summary"), row.get("vulnerability insight"), row.get("impact")].map(|part| text::prefix(part, MAX_TEXT_BYTES)).join("\n"),
        description: cell("specific result"),
        solution: cell("solution"),
        cves: cell("cves"),
        links,
        ..Result::default()
    }
}
