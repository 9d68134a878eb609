//! From the pieces of a report to verdicts on each service.

use std::{io::BufRead, mem};

use jiff::civil::DateTime;
use picket_domain::{Gap, Observation};

use crate::{
    Context, Parsed, rules,
    tally::Tally,
    text,
    tls::{Certificate, Clock, Verdicts, Version},
    weakness::Place,
    xml::{self, Attributes, Fault, Handler, Root, tags},
};

/// Text kept of one value.
const MAX_VALUE_BYTES: usize = 1 << 10;

tags! {
    Document = "document",
    Test = "ssltest",
    Protocol = "protocol",
    Fallback = "fallback",
    Renegotiation = "renegotiation",
    Compression = "compression",
    Heartbleed = "heartbleed",
    Cipher = "cipher",
    Group = "group",
    Certificate = "certificate",
    Signature = "signature-algorithm",
    Key = "pk",
    Subject = "subject",
    Issuer = "issuer",
    SelfSigned = "self-signed",
    NotBefore = "not-valid-before",
    NotAfter = "not-valid-after",
    Expired = "expired",
    Error = "error",
}

const ROOT: Root<Tag> = Root { tags: &[Tag::Document], doctypes: &[] };

/// Reads a report.
pub(super) fn parse(input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
    let mut report = Report {
        tally: Tally::new(sink),
        context,
        service: None,
        certificate: None,
        text: String::new(),
        error: None,
        untested: 0,
    };
    let fault = xml::read(input, ROOT, &mut report).err();
    report.parsed(fault)
}

/// One service while it is being read.
#[derive(Default)]
struct Service {
    host: Option<String>,
    port: Option<u16>,
    verdicts: Verdicts,
    suites: u64,
}

struct Report<'s, 'c> {
    tally: Tally<'s>,
    context: &'c Context<'c>,
    service: Option<Service>,
    certificate: Option<Certificate>,
    text: String,
    error: Option<String>,
    /// Services at which no suite was accepted: no TLS there, or no connection.
    untested: u64,
}

impl Report<'_, '_> {
    fn parsed(self, fault: Option<Fault>) -> Parsed {
        let reason = match (fault, self.error) {
            (Some(fault), _) if fault.is_refusal() => {
                return self.tally.refuse(fault.to_string());
            }
            (Some(fault), _) => Some(fault.to_string()),
            (None, Some(error)) => Some(format!("sslscan reports an error: {error}")),
            (None, None) if self.tally.hosts() == 0 => Some("no service was examined".to_owned()),
            (None, None) if self.untested > 0 => {
                Some(format!("{} services accepted no cipher suite: no TLS, or no connection", self.untested))
            }
            (None, None) => None,
        };
        self.tally.end(reason.map(|reason| (Gap::OutputIncomplete, reason)))
    }

    fn begin(&mut self, attributes: &Attributes<'_>) {
        let mut service = Service::default();
        attributes.each(|name, value| match name {
            "host" => service.host = self.context.host(value),
            "port" => service.port = value.parse().ok().filter(|port| *port != 0),
            _ => {}
        });
        self.service = Some(service);
    }

    /// Told at the end of the service alone: half a list of suites is no ground for "is not offered".
    fn end(&mut self) {
        let Some(service) = self.service.take() else { return };
        if service.suites == 0 {
            self.untested = self.untested.saturating_add(1);
        }
        let host = service.host.or_else(|| self.context.host.and_then(|host| self.context.host(host)));
        let (Some(host), Some(port)) = (host, service.port.or(self.context.port)) else {
            self.tally.garbled();
            return;
        };
        self.tally.host_up();
        for weakness in service.verdicts.weaknesses() {
            self.tally.tell(weakness.observed(&Place::tcp(&host, port, true)));
        }
    }

    fn verdicts(&mut self) -> Option<&mut Verdicts> {
        self.service.as_mut().map(|service| &mut service.verdicts)
    }

    fn protocol(&mut self, attributes: &Attributes<'_>) {
        let (mut kind, mut number, mut is_on) = (String::new(), String::new(), None);
        attributes.each(|name, value| match name {
            "type" => kind = text::line(value, 16),
            "version" => number = text::line(value, 16),
            "enabled" => is_on = flag(value),
            _ => {}
        });
        let Some(verdicts) = self.verdicts() else { return };
        match (Version::find(&format!("{kind}{number}")), is_on) {
            (Some(version), Some(true)) => verdicts.offers(version),
            (Some(version), Some(false)) => verdicts.lacks(version),
            _ => {}
        }
    }

    fn suite(&mut self, attributes: &Attributes<'_>) {
        let (mut is_accepted, mut version, mut suite, mut dh, mut curve) =
            (false, None, String::new(), None, String::new());
        attributes.each(|name, value| match name {
            "status" => is_accepted = matches!(value, "accepted" | "preferred"),
            "sslversion" => version = Version::find(value),
            "cipher" => suite = text::line(value, 100),
            "dhebits" => dh = value.parse().ok(),
            "curve" => curve = text::line(value, 64),
            _ => {}
        });
        let Some(service) = self.service.as_mut().filter(|_| is_accepted) else { return };
        service.suites = service.suites.saturating_add(1);
        service.verdicts.offers_suite(version, &suite);
        service.verdicts.offers_curve(&curve);
        if let Some(bits) = dh {
            service.verdicts.uses_dh_group(bits);
        }
    }

    fn group(&mut self, attributes: &Attributes<'_>) {
        let mut name = String::new();
        attributes.each(|key, value| {
            if key == "name" {
                name = text::line(value, 64);
            }
        });
        if let Some(verdicts) = self.verdicts() {
            verdicts.offers_curve(&name);
        }
    }

    fn fact(&mut self, tag: Tag, attributes: &Attributes<'_>) {
        let (mut is_supported, mut is_secure, mut is_vulnerable, mut version) = (None, None, None, String::new());
        attributes.each(|name, value| match name {
            "supported" => is_supported = flag(value),
            "secure" => is_secure = flag(value),
            "vulnerable" => is_vulnerable = flag(value),
            "sslversion" => version = text::line(value, 16),
            _ => {}
        });
        let Some(verdicts) = self.verdicts() else { return };
        match (tag, is_supported, is_secure, is_vulnerable) {
            (Tag::Fallback, Some(false), ..) => {
                verdicts.add(rules::TLS_NO_FALLBACK_SCSV, "TLS_FALLBACK_SCSV is not supported")
            }
            (Tag::Renegotiation, Some(true), Some(false), _) => {
                verdicts.add(rules::TLS_INSECURE_RENEGOTIATION, "Insecure renegotiation is supported");
            }
            (Tag::Compression, Some(true), ..) => verdicts.add(rules::TLS_COMPRESSION, "TLS compression is supported"),
            (Tag::Heartbleed, .., Some(true)) => {
                verdicts.add(rules::TLS_HEARTBLEED, &format!("Vulnerable over {version}"))
            }
            _ => {}
        }
    }

    fn key(&mut self, attributes: &Attributes<'_>) {
        let Some(certificate) = &mut self.certificate else { return };
        attributes.each(|name, value| match name {
            "type" => certificate.key_type = text::line(value, 32),
            "bits" => certificate.key_bits = value.parse().ok(),
            _ => {}
        });
    }

    fn value(&mut self, tag: Tag) {
        let value = mem::take(&mut self.text);
        let value = value.trim();
        if tag == Tag::Error && !value.is_empty() {
            self.error = Some(text::line(value, MAX_VALUE_BYTES));
        }
        match (tag, &mut self.certificate) {
            (Tag::Signature, Some(certificate)) => certificate.signature = text::line(value, 100),
            (Tag::Subject, Some(certificate)) => certificate.subject = text::line(value, MAX_VALUE_BYTES),
            (Tag::Issuer, Some(certificate)) => certificate.issuer = text::line(value, MAX_VALUE_BYTES),
            (Tag::SelfSigned, Some(certificate)) => certificate.is_self_signed = value == "true",
            (Tag::NotBefore, Some(certificate)) => certificate.not_before = read_date(value),
            (Tag::NotAfter, Some(certificate)) => certificate.not_after = read_date(value),
            (Tag::Expired, Some(certificate)) => certificate.is_expired = value == "true",
            _ => {}
        }
    }
}

/// `Nov 22 05:03:06 2026 GMT`, the day filled up with a space.
fn read_date(text: &str) -> Option<DateTime> {
    DateTime::strptime("%b %d %H:%M:%S %Y", text.strip_suffix("GMT")?.split_whitespace().collect::<Vec<_>>().join(" "))
        .ok()
}

fn flag(value: &str) -> Option<bool> {
    match value {
        "0" | "false" => Some(false),
        "1" | "true" => Some(true),
        _ => None,
    }
}

impl Handler<Tag> for Report<'_, '_> {
    fn open(&mut self, tag: Tag, parent: Tag, attributes: &Attributes<'_>) {
        self.text.clear();
        match (tag, parent) {
            (Tag::Test, Tag::Document) => self.begin(attributes),
            (Tag::Protocol, Tag::Test) => self.protocol(attributes),
            (Tag::Cipher, Tag::Test) => self.suite(attributes),
            (Tag::Group, Tag::Test) => self.group(attributes),
            (Tag::Fallback | Tag::Renegotiation | Tag::Compression | Tag::Heartbleed, Tag::Test) => {
                self.fact(tag, attributes);
            }
            // Inside of `certificates` since version 2.
            (Tag::Certificate, _) => self.certificate = Some(Certificate::default()),
            (Tag::Key, Tag::Certificate) => self.key(attributes),
            _ => {}
        }
    }

    fn text(&mut self, _: Tag, piece: &str) {
        text::push(&mut self.text, piece, MAX_VALUE_BYTES);
    }

    fn close(&mut self, tag: Tag, parent: Tag) {
        self.value(tag);
        match (tag, parent) {
            (Tag::Certificate, _) => {
                if let (Some(certificate), Some(service)) = (self.certificate.take(), self.service.as_mut()) {
                    service.verdicts.presents(&certificate, Clock::default());
                }
            }
            (Tag::Test, Tag::Document) => self.end(),
            _ => {}
        }
    }
}
