//! One server after the other to verdicts. The report tells its time behind the servers, so what is known of them waits for it.

use std::{
    cell::RefCell,
    io::{BufRead, BufReader},
};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use picket_domain::{Gap, Observation};
use serde_json::{Map, Value};

use super::{certificates, numbers::ShortNumbers};
use crate::{
    Context, Parsed,
    json::{self, Fault},
    rules,
    tally::Tally,
    text,
    tls::{self, Certificate, Clock, Verdicts, Version},
    weakness::Place,
};

/// Servers that wait for the time; those before them are told without it.
const MAX_WAITING: usize = 1024;
/// Half a year, in seconds.
const LEAST_MAX_AGE: f64 = 15_552_000.0;

/// Reads a report.
pub(super) fn parse(input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
    let report =
        RefCell::new(Report { tally: Tally::new(sink), context, waiting: Vec::new(), faults: 0, fault: String::new() });
    let mut input = BufReader::new(ShortNumbers::new(input));
    let end =
        json::stream(&mut input, &[&["server_scan_results"], &["server_connectivity_errors"]], &mut |at, value| {
            if at == 0 { report.borrow_mut().server(&value) } else { report.borrow_mut().unreachable(&value) }
        });
    let report = report.into_inner();
    match end {
        Ok(rest) => report.parsed(&rest),
        Err(fault @ (Fault::Empty | Fault::Foreign)) => report.tally.refuse(fault.to_string()),
        Err(fault) => report.broken(&fault.to_string()),
    }
}

/// A server whose verdict on its certificates waits for the time.
struct Server {
    host: String,
    site: String,
    port: u16,
    verdicts: Verdicts,
    certificates: Vec<Certificate>,
    hsts: Option<(rules::Rule, String)>,
}

struct Report<'s, 'c> {
    tally: Tally<'s>,
    context: &'c Context<'c>,
    waiting: Vec<Server>,
    faults: u64,
    /// The first of the faults.
    fault: String,
}

impl Report<'_, '_> {
    fn parsed(mut self, rest: &Value) -> Parsed {
        if rest.get("server_scan_results").is_none() {
            return self.tally.refuse("the output is not a report of sslyze");
        }
        self.tell(Clock::at(time(json::text(rest, "date_scans_started"))));
        for text in json::items(rest, "invalid_server_strings") {
            self.fail(&format!("sslyze did not understand a server: {text}"));
        }
        let gap = if self.faults > 0 {
            Some(format!("{} checks or servers failed, first: {}", self.faults, self.fault))
        } else if self.tally.hosts() == 0 {
            Some("no service was examined".to_owned())
        } else {
            None
        };
        self.tally.end(gap.map(|reason| (Gap::OutputIncomplete, reason)))
    }

    fn broken(mut self, reason: &str) -> Parsed {
        self.tell(Clock::default());
        self.tally.end(Some((Gap::OutputIncomplete, reason.to_owned())))
    }

    fn tell(&mut self, clock: Clock) {
        for mut server in std::mem::take(&mut self.waiting) {
            for certificate in &server.certificates {
                server.verdicts.presents(certificate, clock);
            }
            let place = Place::tcp(&server.host, server.port, true);
            for weakness in server.verdicts.weaknesses() {
                self.tally.tell(weakness.observed(&place));
            }
            if let Some((rule, evidence)) = server.hsts {
                let site = Place::tcp(&server.site, server.port, true);
                self.tally.tell(tls::weakness(rule, &evidence).at("/").observed(&site));
            }
        }
    }

    fn fail(&mut self, what: &str) {
        if self.faults == 0 {
            self.fault = text::line(what, 200);
        }
        self.faults = self.faults.saturating_add(1);
    }

    /// Versions 3 and 4 list servers that they could not connect to on their own.
    fn unreachable(&mut self, error: &Value) {
        self.fail(&format!("no connection: {}", json::text(error, "error_message")));
    }

    fn server(&mut self, value: &Value) {
        let location = value.get("server_location").or_else(|| value.get("server_info")?.get("server_location"));
        let Some(location) = location.filter(|location| location.is_object()) else {
            self.tally.garbled();
            return;
        };
        let name = json::text(location, "hostname");
        let named = if name.is_empty() { json::text(location, "ip_address") } else { name };
        // The address that was looked at, where nmap's findings are; the site keeps its name.
        let address = Some(json::text(location, "ip_address")).filter(|text| text.parse::<std::net::IpAddr>().is_ok());
        let (host, site) = (self.context.host(address.unwrap_or(named)), self.context.site(named));
        let (Some(host), Some(site), Some(port)) = (host, site, json::port(location, "port")) else {
            self.tally.garbled();
            return;
        };
        let results = ["scan_result", "scan_commands_results"].iter().find_map(|key| value.get(*key)?.as_object());
        let Some(results) = results else {
            self.fail(&format!(
                "{named}:{port}: no connection, or no result: {}",
                last_line(json::text(value, "connectivity_error_trace"))
            ));
            return;
        };
        let has_name = named.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err();
        let mut server =
            Server { host, site, port, verdicts: Verdicts::default(), certificates: Vec::new(), hsts: None };
        for (command, attempt) in results {
            match completed(attempt) {
                Ok(Some(result)) => {
                    if command == "certificate_info" && certificates::is_cut(result) {
                        self.tally.cut();
                    }
                    server.read(command, result, has_name);
                }
                Ok(None) => {}
                Err(reason) => self.fail(&format!("{named}:{port}: {command}: {reason}")),
            }
        }
        for (command, _) in value.get("scan_commands_errors").and_then(Value::as_object).unwrap_or(&Map::new()) {
            self.fail(&format!("{named}:{port}: {command} failed"));
        }
        self.tally.host_up();
        if self.waiting.len() >= MAX_WAITING {
            self.fail("too many servers: the dates of certificates were not judged");
            self.tell(Clock::default());
        }
        self.waiting.push(server);
    }
}

/// The result of a check; `None` when it was not asked for. Versions before 5 give the bare result.
fn completed(attempt: &Value) -> Result<Option<&Value>, String> {
    match attempt.get("status").and_then(Value::as_str) {
        Some("COMPLETED") => attempt
            .get("result")
            .filter(|result| !result.is_null())
            .map(Some)
            .ok_or_else(|| "without a result".to_owned()),
        Some("NOT_SCHEDULED") => Ok(None),
        Some(_) => {
            Err(format!("{} {}", json::text(attempt, "error_reason"), last_line(json::text(attempt, "error_trace"))))
        }
        None => Ok(Some(attempt).filter(|attempt| attempt.is_object())),
    }
}

/// The line of a trace that names the error.
fn last_line(trace: &str) -> &str {
    trace.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}

fn time(text: &str) -> Option<Timestamp> {
    let date: DateTime = text.get(..19)?.parse().ok()?;
    date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

impl Server {
    fn read(&mut self, command: &str, result: &Value, has_name: bool) {
        let is = |key: &str| result.get(key).and_then(Value::as_bool);
        let verdicts = &mut self.verdicts;
        match command {
            "certificate_info" => self.certificates = certificates::read(result, has_name),
            "heartbleed" if is("is_vulnerable_to_heartbleed") == Some(true) => {
                verdicts.add(rules::TLS_HEARTBLEED, "Vulnerable to Heartbleed")
            }
            "openssl_ccs_injection" if is("is_vulnerable_to_ccs_injection") == Some(true) => {
                verdicts.add(rules::TLS_CCS_INJECTION, "Vulnerable to the CCS injection");
            }
            "robot" if json::text(result, "robot_result").starts_with("VULNERABLE") => {
                verdicts.add(rules::TLS_ROBOT, json::text(result, "robot_result"));
            }
            "session_renegotiation" => self.renegotiation(result),
            "tls_compression" if is("supports_compression") == Some(true) => {
                verdicts.add(rules::TLS_COMPRESSION, "TLS compression is supported")
            }
            "tls_fallback_scsv" if is("supports_fallback_scsv") == Some(false) => {
                verdicts.add(rules::TLS_NO_FALLBACK_SCSV, "TLS_FALLBACK_SCSV is not supported");
            }
            "tls_1_3_early_data" if is("supports_early_data") == Some(true) => {
                verdicts.add(rules::TLS_EARLY_DATA, "Early data is supported")
            }
            "elliptic_curves" => {
                for curve in json::items(result, "supported_curves") {
                    verdicts.offers_curve(json::text(curve, "name"));
                }
            }
            "http_headers" => self.headers(result),
            _ if command.ends_with("_cipher_suites") => self.suites(result),
            _ => {}
        }
    }

    fn renegotiation(&mut self, result: &Value) {
        let is = |key: &str| result.get(key).and_then(Value::as_bool);
        if is("supports_secure_renegotiation") == Some(false) {
            self.verdicts.add(rules::TLS_INSECURE_RENEGOTIATION, "Secure renegotiation is not supported");
        }
        if is("is_vulnerable_to_client_renegotiation_dos").or_else(|| is("accepts_client_renegotiation")) == Some(true)
        {
            self.verdicts.add(rules::TLS_CLIENT_RENEGOTIATION, "Renegotiation by the client is accepted");
        }
    }

    fn suites(&mut self, result: &Value) {
        let Some(version) = Version::find(json::text(result, "tls_version_used")) else { return };
        let accepted = json::items(result, "accepted_cipher_suites");
        if accepted.is_empty() {
            match result.get("is_tls_version_supported").and_then(Value::as_bool) {
                Some(true) => self.verdicts.offers(version),
                Some(false) | None => self.verdicts.lacks(version),
            }
        }
        for accepted in accepted {
            let Some(suite) = accepted.get("cipher_suite") else { continue };
            self.verdicts.offers_suite(Some(version), json::text(suite, "name"));
            if suite.get("is_anonymous").and_then(Value::as_bool) == Some(true) {
                self.verdicts.add(rules::TLS_WEAK_CIPHER_ANONYMOUS, json::text(suite, "name"));
            }
            let Some(key) = accepted.get("ephemeral_key") else { continue };
            let kind = ["type_name", "type"].iter().map(|name| json::text(key, name)).find(|kind| !kind.is_empty());
            let bits = json::number(key, "size").and_then(|bits| format!("{bits:.0}").parse().ok());
            match (kind, bits) {
                (Some("DH"), Some(bits)) => self.verdicts.uses_dh_group(bits),
                _ => self.verdicts.offers_curve(json::text(key, "curve_name")),
            }
        }
    }

    /// Only what was answered over HTTP tells of headers.
    fn headers(&mut self, result: &Value) {
        if result.get("http_error_trace").is_some_and(|error| !error.is_null()) {
            return;
        }
        match result.get("strict_transport_security_header") {
            Some(Value::Null) => {
                self.hsts = Some((rules::HTTP_HEADER_MISSING_HSTS, "No Strict-Transport-Security".to_owned()))
            }
            Some(header) => {
                let weak = json::number(header, "max_age").filter(|age| *age < LEAST_MAX_AGE);
                self.hsts = weak.map(|age| (rules::HTTP_HEADER_WEAK_HSTS, format!("max-age={age:.0}")));
            }
            None => {}
        }
    }
}
