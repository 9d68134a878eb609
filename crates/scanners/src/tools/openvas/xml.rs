//! The XML of GMP. Only elements at their places inside a result count: overrides, notes and detections hold elements of the
//! same names.

use std::io::BufRead;

use super::result::Result;
use crate::{
    Context, Parsed, import,
    tally::Tally,
    text,
    xml::{self, Attributes, Fault, Handler, Root, tags},
};

/// Text kept of one element.
const MAX_TEXT_BYTES: usize = 8 << 10;
const MAX_NAME_BYTES: usize = 300;
const MAX_LINKS: usize = 16;

tags! {
    ReportsResponse = "get_reports_response",
    ResultsResponse = "get_results_response",
    Report = "report",
    Results = "results",
    One = "result",
    Host = "host",
    Hostname = "hostname",
    Port = "port",
    Nvt = "nvt",
    Name = "name",
    BaseScore = "cvss_base",
    Tags = "tags",
    Cve = "cve",
    Ref = "ref",
    Refs = "refs",
    Solution = "solution",
    Threat = "threat",
    Severity = "severity",
    Qod = "qod",
    Value = "value",
    Description = "description",
    Status = "scan_run_status",
    Errors = "errors",
    Fault = "error",
}

const ROOT: Root<Tag> = Root { tags: &[Tag::Report, Tag::ReportsResponse, Tag::ResultsResponse], doctypes: &[] };

pub(super) fn read(input: &mut dyn BufRead, context: &Context<'_>, tally: Tally<'_>) -> Parsed {
    let mut report =
        Report { tally, context, result: None, field: None, is_in_test: false, results: 0, status: String::new(), faults: 0, has_list: false };
    let fault = xml::read(input, ROOT, &mut report).err();
    report.end(fault)
}

/// What a piece of text is.
#[derive(Debug, Clone, Copy)]
enum Field {
    Host,
    Hostname,
    Port,
    Name,
    BaseScore,
    Tags,
    Solution,
    Cves,
    Threat,
    Severity,
    Quality,
    Description,
    Status,
}

struct Report<'r, 's> {
    tally: Tally<'s>,
    context: &'r Context<'r>,
    result: Option<Result>,
    field: Option<Field>,
    is_in_test: bool,
    results: u64,
    status: String,
    faults: u64,
    has_list: bool,
}

impl Report<'_, '_> {
    fn end(self, fault: Option<Fault>) -> Parsed {
        let status = self.status.trim();
        match fault {
            Some(fault) if fault.is_refusal() => {
                self.tally.refuse(fault.to_string())
            }
            Some(fault) => import::incomplete(self.tally, &fault.to_string()),
            None if !self.has_list && self.results == 0 => {
                import::incomplete(self.tally, "the report holds no list of results")
            }
            None if !status.is_empty() && status != "Done" => {
                let reason = format!("the scan did not end: it is {status}");
                import::incomplete(self.tally, &reason)
            }
            None if self.faults > 0 => {
                let reason = format!("the report tells of {} errors of the scan", self.faults);
                import::incomplete(self.tally, &reason)
            }
            None => self.tally.end(None),
        }
    }

    /// What the text of an element is, by its place.
    const fn field(&self, tag: Tag, parent: Tag) -> Option<Field> {
        Some(match (tag, parent) {
            (Tag::Host, Tag::One) => Field::Host,
            (Tag::Hostname, Tag::Host) => Field::Hostname,
            (Tag::Port, Tag::One) => Field::Port,
            (Tag::Threat, Tag::One) => Field::Threat,
            (Tag::Severity, Tag::One) => Field::Severity,
            (Tag::Value, Tag::Qod) => Field::Quality,
            (Tag::Description, Tag::One) => Field::Description,
            (Tag::Status, Tag::Report) => Field::Status,
            (Tag::Name, Tag::Nvt) if self.is_in_test => Field::Name,
            (Tag::BaseScore, Tag::Nvt) if self.is_in_test => Field::BaseScore,
            (Tag::Tags, Tag::Nvt) if self.is_in_test => Field::Tags,
            (Tag::Solution, Tag::Nvt) if self.is_in_test => Field::Solution,
            (Tag::Cve, Tag::Nvt) if self.is_in_test => Field::Cves,
            _ => return None,
        })
    }

    fn reference(&mut self, attributes: &Attributes<'_>) {
        let (mut id, mut kind) = (String::new(), String::new());
        attributes.each(|name, value| match name {
            "id" => id = text::line(value, 500),
            "type" => kind = value.to_ascii_lowercase(),
            _ => {}
        });
        let Some(result) = &mut self.result else { return };
        match kind.as_str() {
            "cve" | "cve_id" => text::push(&mut result.cves, &format!("{id} "), MAX_TEXT_BYTES),
            "url" if result.links.len() < MAX_LINKS => result.links.push(id),
            _ => {}
        }
    }

    fn end_result(&mut self) {
        let Some(result) = self.result.take() else { return };
        self.results = self.results.saturating_add(1);
        if !result.tell(self.context, &mut self.tally) {
            self.faults = self.faults.saturating_add(1);
        }
    }
}

impl Handler<Tag> for Report<'_, '_> {
    fn open(&mut self, tag: Tag, parent: Tag, attributes: &Attributes<'_>) {
        self.field = self.field(tag, parent);
        match (tag, parent) {
            (Tag::Results, _) => self.has_list = true,
            (Tag::One, Tag::Results | Tag::ResultsResponse | Tag::Report) => self.result = Some(Result::default()),
            (Tag::Nvt, Tag::One) => {
                self.is_in_test = true;
                if let Some(result) = &mut self.result {
                    attributes.each(|name, value| {
                        if name == "oid" {
                            result.oid = text::line(value, 100);
                        }
                    });
                }
            }
            (Tag::Ref, Tag::Refs) if self.is_in_test => self.reference(attributes),
            (Tag::Fault, Tag::Errors) => self.faults = self.faults.saturating_add(1),
            _ => {}
        }
    }

    fn text(&mut self, _: Tag, piece: &str) {
        let Some(field) = self.field else { return };
        if let Field::Status = field {
            return text::push(&mut self.status, piece, MAX_NAME_BYTES);
        }
        let Some(result) = &mut self.result else { return };
        let (target, max_bytes) = match field {
            Field::Status => return,
            Field::Host => (&mut result.host, MAX_NAME_BYTES),
            Field::Hostname => (&mut result.hostname, MAX_NAME_BYTES),
            Field::Port => (&mut result.port, MAX_NAME_BYTES),
            Field::Name => (&mut result.name, MAX_NAME_BYTES),
            Field::BaseScore => (&mut result.base_score, MAX_NAME_BYTES),
            Field::Threat => (&mut result.threat, MAX_NAME_BYTES),
            Field::Severity => (&mut result.severity, MAX_NAME_BYTES),
            Field::Quality => (&mut result.qod, MAX_NAME_BYTES),
            Field::Tags => (&mut result.tags, MAX_TEXT_BYTES),
            Field::Solution => (&mut result.solution, MAX_TEXT_BYTES),
            Field::Description => (&mut result.description, MAX_TEXT_BYTES),
            Field::Cves => (&mut result.cves, MAX_TEXT_BYTES),
        };
        text::push(target, piece, max_bytes);
    }

    fn close(&mut self, tag: Tag, parent: Tag) {
        self.field = None;
        match (tag, parent) {
            (Tag::Nvt, Tag::One) => self.is_in_test = false,
            (Tag::One, Tag::Results | Tag::ResultsResponse | Tag::Report) => self.end_result(),
            _ => {}
        }
    }
}
