//! Open ports that naabu found (JSON lines and CSV). Import only. A port that it printed again is told once.

use std::io::BufRead;

use picket_domain::Protocol;
use serde_json::{Value, json};

use crate::{
    Context, Format, Head, Parsed,
    import::{self, Import, Seen},
    json, rules, table,
    tally::Tally,
    weakness::{Place, Weakness},
};

pub(super) const FORMATS: &[&dyn Format] = &[
    &Import { tool: "naabu", name: "csv", blanks: &[], recognizes: is_table, read: read_table },
    &Import { tool: "naabu", name: "jsonl", blanks: &[""], recognizes, read },
];

/// The columns changed, and some can be left out; the first ones did not.
fn is_table(head: &Head<'_>) -> bool {
    let line = head.first_line().trim_end().to_ascii_lowercase();
    let names: Vec<&str> = line.split(',').collect();
    ["host", "ip", "port"].iter().all(|name| names.contains(name))
        && ["tls", "protocol", "timestamp", "cdn-name"].iter().any(|name| names.contains(name))
        && !["url", "status_code", "event", "module_name", "hostname"].iter().any(|name| names.contains(name))
}

fn read_table(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let mut seen = Seen::default();
    let end = table::rows(input, "port", &mut |row| {
        let value = json!({
            "ip": row.get("ip"), "host": row.get("host"), "port": row.get("port"), "protocol": row.get("protocol"),
            "tls": row.get("tls") == "true",
        });
        if tell(&value, context, &mut seen, &mut tally).is_none() {
            tally.garbled();
        }
    });
    match end {
        Ok(()) => import::unmarked(tally.end(None)),
        Err(reason) => import::incomplete(tally, reason),
    }
}

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
    import::objects(input, tally, &mut |value, tally| tell(value, context, &mut seen, tally).is_some())
}

fn tell(value: &Value, context: &Context<'_>, seen: &mut Seen, tally: &mut Tally<'_>) -> Option<()> {
    let host = [json::text(value, "ip"), json::text(value, "host")].into_iter().find_map(|name| context.host(name))?;
    // Where hosts alone were looked for (`-sn`), it prints them with port 0.
    if matches!(value.get("port"), Some(Value::Number(number)) if number.as_u64() == Some(0)) || value.get("port") == Some(&json!("0")) {
        if seen.is_new(&(&host, 0)) {
            tally.tell(Weakness::of(rules::HOST_UP, "").observed(&Place::of(&host)));
        }
        return Some(());
    }
    // Version 2.0 nested the port's number.
    let number = json::port(value, "port").or_else(|| json::port(value.get("port")?, "Port"))?;
    let protocol = match json::text(value, "protocol") {
        "" => Protocol::Tcp,
        name => Protocol::find(name)?,
    };
    let is_tls = value.get("tls") == Some(&Value::Bool(true));
    if seen.is_new(&(&host, number, protocol)) {
        let title = format!("Open port {number}/{}", protocol.name());
        let place = Place { port: Some((number, protocol)), is_tls, ..Place::of(&host) };
        tally.tell(Weakness::of(rules::PORT_OPEN, "").titled(&title).observed(&place));
    }
    Some(())
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

    #[test]
    fn tables_tell_ports_and_hosts_without_one() {
        let report = "host,ip,port,protocol,tls,cdn,cdn-name,timestamp\nwww.example.com,192.0.2.7,443,tcp,true,false,,2026-11-23 01:00:00 +0000 UTC\n,192.0.2.8,0,tcp,false,false,,x\n";
        let format = crate::recognize(&Head::new(report.as_bytes(), true)).expect("a table of naabu");
        let (parsed, seen) = crate::testing::read(format, report.as_bytes());
        assert!(parsed.is_complete(), "{parsed:?}");
        let told: Vec<_> = seen.iter().map(|one| (one.rule.as_str(), one.location.to_string())).collect();
        assert_eq!(told, [("port.open", "192.0.2.7:443/tcp".to_owned()), ("host.up", "192.0.2.8".to_owned())]);
    }
}
