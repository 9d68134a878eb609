//! Open ports that masscan found (`-oJ`, `-oD`, `-oX`, `-oL`, `-oG`). Import only.
//!
//! Its JSON is read as leniently as it is written: versions differ in commas and in how they say that they finished.

mod json;
mod list;
mod xml;

use std::io::BufRead;

use picket_domain::{Protocol, Service};

use crate::{
    Context, Format, Head, Parsed, grepable,
    import::Import,
    rules,
    tally::Tally,
    text,
    weakness::{Place, Weakness},
};

pub(super) const FORMATS: &[&dyn Format] = &[
    &Import { tool: "masscan", name: "grepable", blanks: &[], recognizes: is_grepable, read: read_grepable },
    &Import { tool: "masscan", name: "json", blanks: &["", "[]"], recognizes: json::recognizes, read: json::read },
    &Import { tool: "masscan", name: "list", blanks: &[], recognizes: list::recognizes, read: list::read },
    &Import { tool: "masscan", name: "xml", blanks: &[], recognizes: is_xml, read: xml::read },
];

fn is_xml(head: &Head<'_>) -> bool {
    head.is_xml("nmaprun") && head.text.contains("scanner=\"masscan\"")
}

fn is_grepable(head: &Head<'_>) -> bool {
    grepable::recognizes(head, "masscan")
}

fn read_grepable(input: &mut dyn BufRead, context: &Context<'_>, tally: Tally<'_>) -> Parsed {
    grepable::read(input, context, tally, false)
}

/// One port of one host, as the formats tell it.
#[derive(Debug, Default)]
struct Port {
    number: Option<u16>,
    protocol: Option<Protocol>,
    /// An answer to a ping (`--ping`), which is of the host and no port.
    is_echo: bool,
    service: String,
    banner: String,
}

impl Port {
    fn tell(&self, address: &str, context: &Context<'_>, tally: &mut Tally<'_>) {
        if let (true, Some(host)) = (self.is_echo, context.host(address)) {
            tally.host_up();
            return tally.tell(Weakness::of(rules::HOST_UP, "It answered a ping.").observed(&Place::of(&host)));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_a_ping_is_a_host_that_is_up() {
        let lines = "[\n{\"ip\": \"192.0.2.1\", \"timestamp\": \"1\", \"ports\": [ {\"port\": 0, \"proto\": \"icmp\", \"status\": \"open\", \"reason\": \"none\", \"ttl\": 64} ] }\n]\n";
        let xml = "<nmaprun scanner=\"masscan\"><host><address addr=\"192.0.2.1\"/><ports><port protocol=\"icmp\" portid=\"0\"><state state=\"open\"/></port></ports></host><runstats><finished/></runstats></nmaprun>";
        let list = "#masscan\nopen icmp 0 192.0.2.1 1\n# end\n";
        for report in [lines, xml, list] {
            let format = crate::recognize(&Head::new(report.as_bytes(), true)).unwrap();
            let (parsed, seen) = crate::testing::read(format, report.as_bytes());
            assert!(parsed.is_complete(), "{parsed:?}");
            assert_eq!((seen.len(), seen[0].rule.as_str(), seen[0].location.port), (1, "host.up", None));
        }
    }
}
