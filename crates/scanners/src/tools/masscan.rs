//! Open ports that masscan found (`-oJ`, `-oD`, `-oX`). Import only.
//!
//! Its JSON is read as leniently as it is written: versions differ in commas and in how they say that they finished.

mod json;
mod xml;

use picket_domain::{Protocol, Service};

use crate::{
    Context, Format, Head,
    import::Import,
    rules,
    tally::Tally,
    text,
    weakness::{Place, Weakness},
};

pub(super) const FORMATS: &[&dyn Format] = &[
    &Import { tool: "masscan", name: "json", recognizes: json::recognizes, read: json::read },
    &Import { tool: "masscan", name: "xml", recognizes: is_xml, read: xml::read },
];

fn is_xml(head: &Head<'_>) -> bool {
    head.is_xml("nmaprun") && head.text.contains("scanner=\"masscan\"")
}

/// One port of one host, as both formats tell it.
#[derive(Debug, Default)]
struct Port {
    number: Option<u16>,
    protocol: Option<Protocol>,
    service: String,
    banner: String,
}

impl Port {
    fn tell(&self, address: &str, context: &Context<'_>, tally: &mut Tally<'_>) {
        let (Some(host), Some(number), Some(protocol)) = (context.host(address), self.number, self.protocol) else {
            return tally.garbled();
        };
        let name = text::line(&self.service, 100);
        let service = Service { name: Some(name.clone()).filter(|name| !name.is_empty()), ..Service::default() };
        let colon = if name.is_empty() { "" } else { ": " };
        let title = format!("Open port {number}/{}{colon}{name}", protocol.name());
        let weakness = Weakness::of(rules::PORT_OPEN, &self.banner).titled(&title);
        let known = Some(&service).filter(|service| service.name.is_some());
        tally.tell(weakness.observed(&Place { port: Some((number, protocol)), service: known, ..Place::of(&host) }));
    }
}
