//! Open ports that naabu found (JSON lines). Import only. A port that it printed again is told once.

use std::io::BufRead;

use picket_domain::Protocol;
use serde_json::Value;

use crate::{
    Context, Format, Head, Parsed,
    import::{self, Import, Seen},
    json, rules,
    tally::Tally,
    weakness::{Place, Weakness},
};

pub(super) const FORMATS: &[&dyn Format] = &[&Import { tool: "naabu", name: "jsonl", blanks: &[""], recognizes, read }];

fn recognizes(head: &Head<'_>) -> bool {
    let line = head.first_line();
    let first = Head { text: line, is_whole: true };
    let is_port = first.is_json('{', &["port"]) && (first.has_key("ip") || first.has_key("host"));
    let is_plain = first.has_key("host") && first.has_key("ip") && is_old(line);
    is_port && (is_plain || first.has_key("tls") || first.has_key("protocol") || line.contains("\"TLS\""))
        && !["url", "service", "event", "login", "rec_type", "template-id", "ports"].iter().any(|key| first.has_key(key))
}

/// Version 2.0 printed nothing that only it prints: exactly these keys.
fn is_old(line: &str) -> bool {
    let value = json::value(line.as_bytes()).unwrap_or_default();
    value.as_object().is_some_and(|keys| keys.keys().all(|key| matches!(key.as_str(), "host" | "ip" | "port" | "timestamp")))
}

fn read(input: &mut dyn BufRead, context: &Context<'_>, tally: Tally<'_>) -> Parsed {
    let mut seen = Seen::default();
    import::objects(input, tally, &mut |value, tally| {
        // Version 2.0 nested the port's number.
        let number = json::port(value, "port").or_else(|| json::port(value.get("port")?, "Port"));
        let protocol = match json::text(value, "protocol") {
            "" => Some(Protocol::Tcp),
            name => Protocol::find(name),
        };
        let host = [json::text(value, "ip"), json::text(value, "host")].into_iter().find_map(|name| context.host(name));
        let (Some(host), Some(number), Some(protocol)) = (host, number, protocol) else { return false };
        let is_tls = value.get("tls") == Some(&Value::Bool(true));
        if seen.is_new(&(&host, number, protocol)) {
            let title = format!("Open port {number}/{}", protocol.name());
            let place = Place { port: Some((number, protocol)), is_tls, ..Place::of(&host) };
            tally.tell(Weakness::of(rules::PORT_OPEN, "").titled(&title).observed(&place));
        }
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_oldest_versions_are_known_by_having_no_other_keys() {
        let is_known = |line: &str| recognizes(&Head::new(line.as_bytes(), true));
        assert!(is_known("{\"host\":\"a.example\",\"ip\":\"192.0.2.1\",\"port\":80}\n"));
        assert!(is_known("{\"host\":\"a.example\",\"ip\":\"192.0.2.1\",\"port\":80,\"timestamp\":\"2026-11-22T05:00:00Z\"}\n"));
        assert!(!is_known("{\"host\":\"a.example\",\"ip\":\"192.0.2.1\",\"port\":80,\"status\":200}\n"));
        assert!(!is_known("{\"ip\":\"192.0.2.1\",\"port\":80}\n"));
    }
}
