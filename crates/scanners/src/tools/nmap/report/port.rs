//! One port while it is being read, and what is told of it.

use std::fmt::Write as _;

use jiff::Timestamp;
use picket_domain::{Protocol, Service};

use crate::{
    rules, text,
    weakness::{Place, Weakness},
    xml::Attributes,
};

/// Text kept of one value of a service.
const MAX_VALUE_BYTES: usize = 256;

/// A port while it is being read.
#[derive(Default)]
pub(super) struct Port {
    pub(super) number: Option<u16>,
    pub(super) protocol: Option<Protocol>,
    /// Whether it is no port but a protocol of IP (`-sO`), of which nothing is told.
    pub(super) is_of_ip: bool,
    pub(super) is_open: bool,
    /// Whether the port itself was told of already.
    pub(super) is_told: bool,
    is_tls: bool,
    is_guessed: bool,
    pub(super) service: Option<Service>,
}

impl Port {
    /// What nmap says of the service. A service inside TLS is named so.
    pub(super) fn read_service(&mut self, attributes: &Attributes<'_>) {
        let mut service = Service::default();
        attributes.each(|name, value| {
            let kept = || Some(text::line(value, MAX_VALUE_BYTES)).filter(|text| !text.is_empty());
            match name {
                "name" => service.name = kept().filter(|name| name != "unknown"),
                "product" => service.product = kept(),
                "version" => service.version = kept(),
                "extrainfo" => service.extra_info = kept(),
                "tunnel" => self.is_tls = value == "ssl",
                "method" => self.is_guessed = value == "table",
                _ => {}
            }
        });
        if self.is_tls {
            // That the port speaks TLS was seen, whatever is inside.
            let name = service.name.filter(|_| !std::mem::take(&mut self.is_guessed)).map(|name| match name.as_str() {
                "http" => "https".to_owned(),
                "ssl" => name,
                _ => format!("ssl/{name}"),
            });
            service.name = name.or_else(|| Some("ssl".to_owned()));
        }
        self.is_tls |= service.name.as_deref() == Some("https");
        self.service = Some(service);
    }

    pub(super) fn place<'a>(&'a self, host: &'a str, started: Option<Timestamp>) -> Option<Place<'a>> {
        let port = Some((self.number?, self.protocol?));
        // A name by the number of the port is no knowledge: it must not stand where another run knew more.
        let service = self.service.as_ref().filter(|_| !self.is_guessed);
        Some(Place { host, port, service, is_tls: self.is_tls, started })
    }

    /// `Open port 443/tcp: https (nginx 1.22.1)`, with all that is known of the service as evidence.
    pub(super) fn weakness(&self, port: Option<(u16, Protocol)>) -> Weakness {
        let mut title = "Open port".to_owned();
        if let Some((number, protocol)) = port {
            write!(title, " {number}/{}", protocol.name()).unwrap_or_default();
        }
        let empty = Service::default();
        let service = self.service.as_ref().unwrap_or(&empty);
        if let Some(name) = &service.name {
            write!(title, ": {name}").unwrap_or_default();
        }
        let software: Vec<&str> = [&service.product, &service.version].into_iter().filter_map(Option::as_deref).collect();
        if !software.is_empty() {
            write!(title, " ({})", software.join(" ")).unwrap_or_default();
        }
        Weakness::of(rules::PORT_OPEN, &self.evidence(service)).titled(&title)
    }

    fn evidence(&self, service: &Service) -> String {
        let known = [
            (if self.is_guessed { "service, by the number of the port" } else { "service" }, &service.name),
            ("product", &service.product),
            ("version", &service.version),
            ("information", &service.extra_info),
        ];
        let known = known.into_iter().filter_map(|(label, value)| value.as_ref().map(|value| format!("{label}: {value}")));
        known.chain(service.cpe.iter().cloned()).collect::<Vec<_>>().join("\n")
    }
}
