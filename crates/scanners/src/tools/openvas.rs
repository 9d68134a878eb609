//! Reports of OpenVAS and Greenbone (GMP XML, also inside `get_reports_response` or `get_results_response`; the CSV export).
//! Import only.
//!
//! The number of a result decides how bad it is, by the bands of CVSS; results of level Log are for information, false
//! positives and debug output are left out. The quality of detection becomes the confidence: from 95 high, below 70 low. A
//! test that is about one CVE is a finding of that CVE.

mod result;
mod table;
mod xml;

use crate::{Format, Head, import::Import};

pub(super) const FORMATS: &[&dyn Format] = &[
    &Import { tool: "openvas", name: "csv", blanks: &[], recognizes: is_table, read: table::read },
    &Import { tool: "openvas", name: "xml", blanks: &[], recognizes: is_xml, read: xml::read },
];

fn is_table(head: &Head<'_>) -> bool {
    let line = head.first_line().to_ascii_lowercase();
    line.starts_with("ip,hostname,port,port protocol,cvss") && line.contains("nvt oid")
}

/// Other tools write a root element `report` as well.
fn is_xml(head: &Head<'_>) -> bool {
    let is_answer = head.is_xml("get_reports_response") || head.is_xml("get_results_response");
    let signs = ["<gmp>", "<omp>", "<report_format", "<nvt oid=", "<scan_run_status>", "<ports "];
    is_answer || (head.is_xml("report") && (has_format(head) || signs.iter().any(|sign| head.text.contains(sign))))
}

fn has_format(head: &Head<'_>) -> bool {
    let (_, from) = head.text.split_once("<report").unwrap_or_default();
    from.split('>').next().is_some_and(|tag| tag.contains("format_id=") || tag.contains("content_type="))
}
