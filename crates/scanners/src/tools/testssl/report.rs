//! Rows of all formats, one by one, to verdicts on each service.

use std::{cell::RefCell, collections::BTreeMap, io::BufRead};

use picket_domain::{Gap, Observation, Severity};
use serde_json::Value;

use super::rows::{self, Meaning};
use crate::{
    Context, Parsed, import,
    json::{self, Fault},
    rules::Rule,
    table,
    tally::Tally,
    text,
    tls::{self, Verdicts, Version},
    weakness::{Place, Weakness, cve_name},
};

const MAX_VALUE_BYTES: usize = 2 << 10;

/// One row.
struct Row<'r> {
    id: &'r str,
    /// `name/address`.
    host: &'r str,
    port: &'r str,
    severity: &'r str,
    finding: &'r str,
    cve: &'r str,
    cwe: &'r str,
}

/// Reads flat or pretty JSON.
pub(super) fn parse_json(input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
    let report = RefCell::new(Report::new(context, sink));
    let end = json::stream(input, &[&[], &["scanResult"]], &mut |at, value| {
        if at == 0 { report.borrow_mut().read_row(&value, None) } else { report.borrow_mut().read_result(&value) }
    });
    let mut report = report.into_inner();
    match end {
        Ok(rest) => {
            // "Scan interrupted" when it was.
            report.is_ended |= json::number(&rest, "scanTime").is_some();
            report.parsed(None)
        }
        Err(fault @ (Fault::Empty | Fault::Foreign)) => report.tally.refuse(fault.to_string()),
        Err(fault) => report.parsed(Some(fault.to_string())),
    }
}

/// Reads CSV.
pub(super) fn parse_csv(input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
    let mut report = Report::new(context, sink);
    let end = table::rows(input, "finding", &mut |row| {
        report.read(&Row {
            id: row.get("id"),
            host: row.get("fqdn/ip"),
            port: row.get("port"),
            severity: row.get("severity"),
            finding: row.get("finding"),
            cve: row.get("cve"),
            cwe: row.get("cwe"),
        });
    });
    let is_ended = report.is_ended;
    if report.rows == 0 {
        return report.tally.refuse(end.err().unwrap_or("the output holds no row of testssl.sh"));
    }
    let end = end.err().map(str::to_owned);
    report.parsed(end.or_else(|| {
        (!is_ended).then(|| "CSV of testssl.sh does not tell whether it finished: import its JSON".to_owned())
    }))
}

struct Report<'s, 'c> {
    tally: Tally<'s>,
    context: &'c Context<'c>,
    service: Option<Service>,
    rows: u64,
    /// Whether the last row was the one that tells how long it took.
    is_ended: bool,
    trouble: Option<(Gap, String)>,
}

/// The service that the rows are of.
struct Service {
    /// As the row spelled it.
    spelled: (String, String),
    /// Of the service, and of the site behind it.
    host: String,
    site: String,
    port: u16,
    has_name: bool,
    verdicts: Verdicts,
    pages: BTreeMap<&'static str, (Rule, String)>,
}

impl Service {
    fn place(&self) -> Place<'_> {
        Place::tcp(&self.host, self.port, true)
    }
}

impl<'s, 'c> Report<'s, 'c> {
    fn new(context: &'c Context<'c>, sink: &'s mut dyn FnMut(Observation)) -> Self {
        Self { tally: Tally::new(sink), context, service: None, rows: 0, is_ended: false, trouble: None }
    }

    fn parsed(mut self, fault: Option<String>) -> Parsed {
        self.flush();
        let gap = match (fault, self.trouble) {
            (_, Some((Gap::ToolFailed, reason))) => Some((Gap::ToolFailed, reason)),
            (Some(fault), _) => Some((Gap::OutputIncomplete, fault)),
            (None, _) if !self.is_ended => {
                Some((Gap::OutputIncomplete, "testssl.sh did not say that it finished".to_owned()))
            }
            (None, Some(trouble)) => Some(trouble),
            (None, None) if self.tally.hosts() == 0 => {
                Some((Gap::OutputIncomplete, "no service was examined".to_owned()))
            }
            (None, None) => None,
        };
        self.tally.end(gap)
    }

    /// One element of `scanResult` of pretty JSON: a service with lists of rows, or a row that tells of trouble.
    fn read_result(&mut self, result: &Value) {
        if json::text(result, "id").is_empty() {
            let name = json::text(result, "targetHost");
            let host = format!("{name}/{}", json::text(result, "ip"));
            let port = json::port(result, "port").map(|port| port.to_string()).unwrap_or_default();
            let lists = result.as_object().map(|map| map.values()).into_iter().flatten().filter_map(Value::as_array);
            for row in lists.flatten().filter(|row| row.is_object()) {
                self.read_row(row, Some((&host, &port)));
            }
        } else {
            self.read_row(result, None);
        }
    }

    fn read_row(&mut self, row: &Value, service: Option<(&str, &str)>) {
        let port = json::port(row, "port").map(|port| port.to_string()).unwrap_or_default();
        let (host, port) = service.unwrap_or((json::text(row, "ip"), &port));
        let [id, severity, finding, cve, cwe] =
            ["id", "severity", "finding", "cve", "cwe"].map(|key| json::text(row, key));
        self.read(&Row { id, host, port, severity, finding, cve, cwe });
    }

    fn read(&mut self, row: &Row<'_>) {
        let id = rows::plain_id(row.id);
        if id.is_empty() || row.severity.is_empty() {
            self.tally.garbled();
            return;
        }
        self.rows = self.rows.saturating_add(1);
        if id == "scanTime" {
            self.is_ended = rows::severity(row.severity).is_some();
            if !self.is_ended {
                self.trouble(row);
            }
            self.flush();
            return;
        }
        self.is_ended = false;
        if rows::is_rating(id) {
            return;
        }
        match rows::severity(row.severity) {
            None if rows::is_of_the_machine(id) => {}
            None => self.trouble(row),
            Some(severity) => self.graded(row, id, severity),
        }
    }

    fn trouble(&mut self, row: &Row<'_>) {
        let gap = if row.severity == "FATAL" { Gap::ToolFailed } else { Gap::OutputIncomplete };
        let is_worse =
            self.trouble.as_ref().is_none_or(|(known, _)| *known != Gap::ToolFailed && gap == Gap::ToolFailed);
        if is_worse {
            self.trouble = Some((gap, format!("testssl.sh reports {}: {}", row.id, row.finding)));
        }
    }

    fn graded(&mut self, row: &Row<'_>, id: &str, severity: Severity) {
        // Rows before the first connection have no host; those that grade something have.
        if row.host.trim_matches('/').is_empty() && severity == Severity::Info {
            return;
        }
        let Some(service) = self.service(row) else {
            self.tally.garbled();
            return;
        };
        if is_fact(row, id, &mut service.verdicts) || rows::is_good(row.severity) {
            return;
        }
        let evidence = text::line(&format!("{}: {}", row.id, row.finding), MAX_VALUE_BYTES);
        let meaning = if severity == Severity::Info {
            Meaning::Own
        } else {
            rows::meaning(id, row.finding, service.has_name)
        };
        match meaning {
            Meaning::Tls(rule) => {
                if let Some(version) = Version::find(id).filter(|_| row.finding.trim().starts_with("offered")) {
                    service.verdicts.offers(version);
                }
                service.verdicts.add(rule, &evidence);
            }
            Meaning::Site(rules) => {
                for rule in rules {
                    service.pages.entry(rule.id).or_insert_with(|| (*rule, evidence.clone()));
                }
            }
            Meaning::Repeated => {}
            Meaning::Own => {
                let observation = own(row, id, severity, &evidence).observed(&service.place());
                self.tally.tell(observation);
            }
        }
    }

    /// The service of a row; the one before is told of when it is another one.
    fn service(&mut self, row: &Row<'_>) -> Option<&mut Service> {
        let is_same = |service: &Service| service.spelled.0 == row.host && service.spelled.1 == row.port;
        if !self.service.as_ref().is_some_and(is_same) {
            self.flush();
            let (name, address) = row.host.rsplit_once('/').unwrap_or((row.host, ""));
            let [name, address] = [name, address].map(|part| text::line(part, MAX_VALUE_BYTES));
            let has_name = !name.is_empty()
                && self.context.host(&name).is_some()
                && name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err();
            let named = Some(name.as_str())
                .filter(|name| !name.is_empty())
                .or(Some(address.as_str()))
                .filter(|name| !name.is_empty());
            let named = named.or(self.context.host)?;
            self.service = Some(Service {
                spelled: (row.host.to_owned(), row.port.to_owned()),
                // The address that was looked at, where nmap's findings are; the site keeps its name.
                host: self.context.host(numeric(&address).unwrap_or(named))?,
                site: self.context.site(named)?,
                port: row.port.trim().parse().ok().filter(|port| *port != 0).or(self.context.port)?,
                has_name,
                verdicts: Verdicts::default(),
                pages: BTreeMap::new(),
            });
            self.tally.host_up();
        }
        self.service.as_mut()
    }

    fn flush(&mut self) {
        let Some(mut service) = self.service.take() else { return };
        let site = Place::tcp(&service.site, service.port, true);
        for weakness in std::mem::take(&mut service.verdicts).weaknesses() {
            self.tally.tell(weakness.observed(&service.place()));
        }
        for (rule, evidence) in service.pages.into_values() {
            self.tally.tell(tls::weakness(rule, &evidence).at("/").observed(&site));
        }
    }
}

/// A text that is an address.
fn numeric(text: &str) -> Option<&str> {
    text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().ok().map(|_| text)
}

/// Takes what the row tells of a modern version, whatever its grade, since only all such rows together tell what is lacking.
/// Whether that is all it tells.
fn is_fact(row: &Row<'_>, id: &str, verdicts: &mut Verdicts) -> bool {
    let Some(version @ (Version::Tls12 | Version::Tls13)) = Version::find(id) else { return false };
    let finding = row.finding.trim();
    if finding.starts_with("offered") {
        verdicts.offers(version);
    }
    let is_lacking = finding.starts_with("not offered");
    if is_lacking {
        verdicts.lacks(version);
    }
    is_lacking
}

/// A row that no rule of ours fits, or that only informs.
fn own(row: &Row<'_>, id: &str, severity: Severity, evidence: &str) -> Weakness {
    let title = format!("testssl.sh: {id}");
    let description =
        "A check of testssl.sh that Picket has no rule of its own for; the evidence is what testssl.sh says.";
    let remedy = if severity == Severity::Info {
        ""
    } else {
        "Read what the documentation of testssl.sh says of this check, and change the configuration of the server."
    };
    let weakness = Weakness::of_tool(&format!("testssl:{id}"), severity, &title, description, evidence)
        .about(rows::part(row.id))
        .remedied(remedy)
        .of_kind(import::cwe(row.cwe));
    // Several CVE names make no finding of one.
    let mut names = row.cve.split_whitespace();
    match (names.next().and_then(cve_name), names.next()) {
        (Some(cve), None) => weakness.known_as(&cve, None),
        _ => weakness,
    }
}
