//! Audits and policy audits to findings, one server after the other.

use std::{
    cell::RefCell,
    io::{BufRead, Read},
};

use picket_domain::{Confidence, Gap, Observation, Service, Severity};
use serde_json::Value;

use crate::{
    Context, Parsed,
    json::{self, Fault},
    ssh::{self, Kind},
    tally::Tally,
    text,
    weakness::{Place, Weakness, cve_name},
};

/// Algorithms of one kind, and CVE names, of one server.
const MAX_ITEMS: usize = 500;
const MAX_VALUE_BYTES: usize = 256;

/// The lists of an audit, in the order of their keys, with how their findings are called.
const LISTS: [(&str, Kind, &str); 4] = [
    ("enc", Kind::Cipher, "cipher"),
    ("kex", Kind::KeyExchange, "key exchange"),
    ("key", Kind::HostKey, "host key algorithm"),
    ("mac", Kind::Mac, "message authentication code"),
];

/// Reads a report. What is no JSON is what ssh-audit says when it could not connect.
pub(super) fn parse(input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
    let mut tally = Tally::new(sink);
    if let Some(said) = complaint(input) {
        return tally.refuse(if said.is_empty() {
            "the output is empty".to_owned()
        } else {
            format!("ssh-audit says: {said}")
        });
    }
    let audits = RefCell::new(Audits { tally: &mut tally, context, trouble: None });
    let end = json::stream(input, &[&[]], &mut |_, value| audits.borrow_mut().read(&value));
    let mut audits = audits.into_inner();
    let fault = match end {
        Ok(rest) => {
            if rest.is_object() {
                audits.read(&rest);
            }
            None
        }
        Err(Fault::Empty) => return tally.refuse("the output is empty"),
        Err(fault) => Some(fault.to_string()),
    };
    let reason = fault.or(audits.trouble).or_else(|| (tally.hosts() == 0).then(|| "no server was examined".to_owned()));
    tally.end(reason.map(|reason| (Gap::OutputIncomplete, reason)))
}

/// The first line of an output that does not begin like JSON, without colors.
fn complaint(input: &mut dyn BufRead) -> Option<String> {
    const MAX_LINE_BYTES: u64 = 500;
    let begins = input.fill_buf().unwrap_or_default().trim_ascii_start();
    let begins = begins.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begins);
    if matches!(begins.first(), Some(b'{' | b'[')) {
        return None;
    }
    let mut said = Vec::new();
    // What cannot be read says nothing, which is reason enough to refuse it.
    let _ = input.take(MAX_LINE_BYTES).read_to_end(&mut said);
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let mut plain = String::new();
    let mut is_code = false;
    for character in line.chars() {
        match character {
            '\u{1b}' => is_code = true,
            'm' if is_code => is_code = false,
            _ if is_code => {}
            character => plain.push(character),
        }
    }
    Some(text::line(&plain, MAX_VALUE_BYTES))
}

struct Audits<'t, 's, 'c> {
    tally: &'t mut Tally<'s>,
    context: &'c Context<'c>,
    trouble: Option<String>,
}

impl Audits<'_, '_, '_> {
    fn read(&mut self, audit: &Value) {
        let is_policy = audit.get("policy").is_some() && audit.get("passed").is_some();
        if !is_policy && LISTS.iter().all(|(key, ..)| audit.get(*key).is_none()) {
            // With several targets, those that could not be reached are objects with an error.
            self.trouble = Some(format!("a server was not examined: {}", text::line(json::text(audit, "error"), 200)));
            return;
        }
        let Some((host, port)) = self.server(audit) else {
            self.tally.garbled();
            return;
        };
        self.tally.host_up();
        if is_long(audit) {
            // Whoever offers so many may hide the weak ones behind them.
            self.tally.cut();
        }
        let service = service(audit);
        let place = Place { service: service.as_ref(), ..Place::tcp(&host, port, false) };
        let weaknesses = if is_policy { deviations(audit) } else { weaknesses(audit) };
        for weakness in weaknesses {
            self.tally.tell(weakness.observed(&place));
        }
    }

    /// `target` is `host:port` or a bare host; policy audits have `host` and `port`; very old audits have neither.
    fn server(&self, audit: &Value) -> Option<(String, u16)> {
        let target = json::text(audit, "target");
        let named = if target.is_empty() { json::text(audit, "host") } else { target };
        let (name, port) = match named.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port.parse().ok()),
            _ => (named, None),
        };
        let name = if name.is_empty() { self.context.host? } else { name };
        let port = json::port(audit, "port").or(port).or(self.context.port).unwrap_or(22);
        Some((self.context.host(name)?, port))
    }
}

/// Whether a list holds more than is read of it.
fn is_long(audit: &Value) -> bool {
    let lists = LISTS.iter().map(|(key, ..)| *key).chain(["cves", "errors"]);
    lists.into_iter().any(|key| json::items(audit, key).len() > MAX_ITEMS)
}

/// `OpenSSH_9.2p1` of the banner.
fn service(audit: &Value) -> Option<Service> {
    let banner = audit.get("banner").filter(|banner| banner.is_object())?;
    let software = text::line(json::text(banner, "software"), MAX_VALUE_BYTES);
    let (product, version) =
        software.split_once('_').map_or((software.as_str(), None), |(product, version)| (product, Some(version)));
    let extra = text::line(json::text(banner, "comments"), MAX_VALUE_BYTES);
    let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Some(Service {
        name: Some("ssh".to_owned()),
        product: filled(product),
        version: version.and_then(filled),
        extra_info: filled(&extra),
        cpe: Vec::new(),
    })
}

fn weaknesses(audit: &Value) -> Vec<Weakness> {
    let mut found = Vec::new();
    for (key, kind, what) in LISTS {
        for item in json::items(audit, key).iter().take(MAX_ITEMS) {
            let name = item.as_str().unwrap_or_else(|| json::text(item, "algorithm"));
            found.extend(algorithm(item, name, kind, key, what));
        }
    }
    for key in json::items(audit, "key").iter().take(MAX_ITEMS) {
        let bits = json::number(key, "keysize").and_then(|bits| format!("{bits:.0}").parse().ok()).unwrap_or_default();
        // The same key signs under several names: told once.
        let weak = ssh::host_key(json::text(key, "algorithm"), bits);
        found.extend(weak.filter(|weak| !found.contains(weak)));
    }
    let names = |key: &str| -> Vec<&str> {
        json::items(audit, key)
            .iter()
            .take(MAX_ITEMS)
            .map(|item| item.as_str().unwrap_or_else(|| json::text(item, "algorithm")))
            .collect()
    };
    found.extend(ssh::terrapin(&names("kex"), &names("enc"), &names("mac")));
    found.extend(json::items(audit, "cves").iter().take(MAX_ITEMS).filter_map(|cve| by_version(cve, audit)));
    found
}

fn algorithm(item: &Value, name: &str, kind: Kind, key: &str, what: &str) -> Option<Weakness> {
    // Names that announce extensions are no algorithms.
    let is_marker = ["ext-info-", "kex-strict-", "kexguess2@"].iter().any(|marker| name.starts_with(marker));
    if name.is_empty() || is_marker {
        return None;
    }
    if let Some(known) = ssh::algorithm(kind, name) {
        return Some(known);
    }
    let notes = item.get("notes");
    let lines = |level: &str| -> Vec<&str> {
        notes
            .map(|notes| json::items(notes, level))
            .unwrap_or_default()
            .iter()
            .filter_map(Value::as_str)
            .take(16)
            .collect()
    };
    let (fails, warnings) = (lines("fail"), lines("warn"));
    let severity = severity(&fails, &warnings)?;
    let evidence = [vec![name], fails, warnings].concat().join("\n");
    let description = "ssh-audit advises against this algorithm; the evidence tells why.";
    let title = format!("The SSH server offers a {what} that ssh-audit advises against: {name}");
    let weakness = Weakness::of_tool(&format!("ssh-audit:{key}"), severity, &title, description, &evidence);
    Some(
        weakness
            .about(name)
            .of_kind(Some(327))
            .remedied("Remove the algorithm from the server's configuration where no client needs it."),
    )
}

/// What ssh-audit fails is medium and what it warns of is low, with the two exceptions that the tool's page names.
fn severity(fails: &[&str], warnings: &[&str]) -> Option<Severity> {
    let is_contested = |note: &&str| note.contains("suspected as being backdoored");
    let is_future = |note: &&str| note.contains("post-quantum");
    if fails.iter().any(|note| !is_contested(note)) {
        Some(Severity::Medium)
    } else if !fails.is_empty() || warnings.iter().any(|note| !is_future(note)) {
        Some(Severity::Low)
    } else {
        (!warnings.is_empty()).then_some(Severity::Info)
    }
}

/// `{"name": "CVE-2018-15473", "cvssv2": 5.3, "description": "…"}`, from the version in the banner.
fn by_version(cve: &Value, audit: &Value) -> Option<Weakness> {
    let name = cve_name(json::text(cve, "name"))?;
    let score = json::number(cve, "cvssv2").filter(|score| (0.0..=10.0).contains(score));
    let software = audit
        .get("banner")
        .map(|banner| json::text(banner, "software"))
        .filter(|text| !text.is_empty())
        .unwrap_or("the server");
    let severity = score.map_or(Severity::Unknown, Severity::of_cvss);
    let description = "Derived from the version in the banner alone: distributions repair weaknesses without changing that version. \
        Compare the installed package before acting.";
    let evidence = format!("{software}\n{}", json::text(cve, "description"));
    let weakness =
        Weakness::of_tool("ssh-audit:cve", severity, &format!("{name} may affect {software}"), description, &evidence);
    Some(
        weakness
            .known_as(&name, score)
            .sure(Confidence::Low)
            .remedied("Check whether the installed package holds the fix; if not, upgrade it."),
    )
}

/// Where a server departs from the policy that it was held against.
fn deviations(audit: &Value) -> Vec<Weakness> {
    let policy = json::text(audit, "policy");
    let one = |error: &Value| {
        let field = text::line(json::text(error, "mismatched_field"), 150);
        let list = |key: &str| {
            json::items(error, key)
                .iter()
                .filter_map(Value::as_str)
                .filter(|name| !name.is_empty())
                .take(100)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let evidence = format!(
            "Policy: {policy}\nExpected: {}\nAllowed besides: {}\nFound: {}",
            list("expected_required"),
            list("expected_optional"),
            list("actual")
        );
        let description =
            "The server was held against a policy of algorithms and keys, and this part of it does not fit.";
        Weakness::of_tool(
            "ssh-audit:policy",
            Severity::Medium,
            &format!("The SSH server departs from its policy: {field}"),
            description,
            &evidence,
        )
        .about(&field)
        .of_kind(Some(16))
        .remedied("Change the server's configuration to what the policy expects.")
    };
    json::items(audit, "errors").iter().take(MAX_ITEMS).map(one).collect()
}
