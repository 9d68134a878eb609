//! Where a finding is, as SARIF has it: by a URI, and in words. Whatever a host or a URL holds, what comes out is a URI.

use picket_domain::{Location, Protocol};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

/// A text as SARIF's messages take it: brackets would make a link (§3.11.6), braces a placeholder (§3.11.5).
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | '[' | ']' => plain.extend(['\\', character]),
            '{' | '}' => plain.extend([character, character]),
            '\n' | '\t' => plain.push(character),
            character if character.is_control() => plain.push('\u{fffd}'),
            character => plain.push(character),
        }
    }
    plain
}

/// The one location of a result.
pub(super) fn locations(location: &Location, subject: &str) -> Value {
    let named = [location.to_string(), subject.to_owned()];
    let named: Vec<&str> = named.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    json!([{
        "physicalLocation": {"artifactLocation": {"uri": uri(location)}},
        "logicalLocations": [{"fullyQualifiedName": named.join(" "), "kind": "resource"}],
    }])
}

/// `https://example.com/login`, `tcp://192.0.2.1:22` or `host:192.0.2.1`.
fn uri(location: &Location) -> String {
    let Location { host, port, protocol, url } = location;
    let service = || {
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        Some(format!("{}://{host}:{}", protocol.map_or("tcp", Protocol::name), (*port)?))
    };
    let parsed = url.clone().or_else(service).and_then(|text| Url::parse(&text).ok());
    parsed.map(String::from).unwrap_or_else(|| {
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        format!("host:{}", encode(host))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: Option<u16>, url: Option<&str>) -> String {
        let protocol = port.map(|_| Protocol::Udp);
        uri(&Location { host: host.to_owned(), port, protocol, url: url.map(ToOwned::to_owned) })
    }

    #[test]
    fn every_place_is_a_uri() {
        assert_eq!(at("a.example", Some(443), Some("https://a.example/x?")), "https://a.example/x?");
        assert_eq!(at("192.0.2.1", Some(53), None), "udp://192.0.2.1:53");
        assert_eq!(at("2001:db8::1", Some(53), None), "udp://[2001:db8::1]:53");
        assert_eq!(at("192.0.2.1", None, None), "host:192.0.2.1");
        assert_eq!(at("2001:db8::1", None, None), "host:2001%3Adb8%3A%3A1");
        for (host, port, url) in [
            ("a b\"<>\n", None, None),
            ("a b\"<>\n", Some(1), None),
            ("x", None, Some("not a URL")),
            ("%zz\u{202e}", Some(1), Some("http://[")),
        ] {
            let uri = at(host, port, url);
            let is_uri = uri.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"\\^`{|}".contains(&byte));
            assert!(is_uri && Url::parse(&uri).is_ok(), "{uri:?}");
        }
    }

    #[test]
    fn a_text_is_no_link_and_no_placeholder() {
        assert_eq!(plain("[a](javascript:b) {0} \\ \u{1b}[0m\n"), "\\[a\\](javascript:b) {{0}} \\\\ \u{fffd}\\[0m\n");
    }
}
