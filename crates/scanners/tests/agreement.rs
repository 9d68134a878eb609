//! Tools that look at the same server agree: recordings of five tools against one TLS server and one SSH server of ours.
//! What two tools tell has the same identity, severity and text, and the table says which of them can see what.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::BufReader,
};

use picket_domain::Observation;
use picket_scanners::{Context, Head, recognize};

const TLS: [(&str, &[u8]); 4] = [
    ("nmap", include_bytes!("../testdata/nmap/weak_tls.xml")),
    ("sslscan", include_bytes!("../testdata/sslscan/weak.xml")),
    ("sslyze", include_bytes!("../testdata/sslyze/weak.json")),
    ("testssl", include_bytes!("../testdata/testssl/weak.json")),
];
const SSH: [(&str, &[u8]); 2] = [
    ("nmap", include_bytes!("../testdata/nmap/weak_ssh.xml")),
    ("ssh-audit", include_bytes!("../testdata/ssh_audit/weak.json")),
];

fn read(tool: &str, report: &[u8]) -> Vec<Observation> {
    let format = recognize(&Head::new(report, true)).unwrap();
    assert_eq!(format.tool(), tool);
    let mut seen = Vec::new();
    let parsed = format.parse(&mut BufReader::new(report), &Context::default(), &mut |one| seen.push(one));
    assert!(parsed.is_complete(), "{tool}: {parsed:?}");
    seen
}

/// What rules of ours tell of the service, by identity, with the tools that told it.
fn agreed<'t>(
    recordings: &[(&'t str, &[u8])],
    prefixes: &[&str],
) -> BTreeMap<String, (Observation, BTreeSet<&'t str>)> {
    let mut all: BTreeMap<String, (Observation, BTreeSet<&str>)> = BTreeMap::new();
    for (tool, report) in recordings {
        for seen in
            read(tool, report).into_iter().filter(|seen| prefixes.iter().any(|prefix| seen.rule.starts_with(prefix)))
        {
            let (known, tools) = all.entry(seen.identity()).or_insert_with(|| (seen.clone(), BTreeSet::new()));
            assert_eq!((&known.rule, known.severity, &known.title), (&seen.rule, seen.severity, &seen.title), "{tool}");
            assert_eq!((&known.description, &known.remediation), (&seen.description, &seen.remediation), "{tool}");
            assert_eq!((&known.cve, &known.location), (&seen.cve, &seen.location), "{tool}");
            // Two scripts of nmap may see the same.
            assert!(tools.insert(tool) || *tool == "nmap", "{tool} tells {} twice", seen.rule);
        }
    }
    all
}

fn table(agreed: BTreeMap<String, (Observation, BTreeSet<&str>)>) -> Vec<String> {
    let row = |(seen, tools): (Observation, BTreeSet<&str>)| {
        let subject = if seen.subject.is_empty() { String::new() } else { format!(" {}", seen.subject) };
        format!("{}{subject}: {}", seen.rule, tools.into_iter().collect::<Vec<_>>().join(" "))
    };
    let mut rows: Vec<String> = agreed.into_values().map(row).collect();
    rows.sort_unstable();
    rows
}

#[test]
fn four_tools_agree_on_one_tls_server() {
    insta::assert_json_snapshot!(table(agreed(&TLS, &["tls.", "http.header"])));
}

#[test]
fn two_tools_agree_on_one_ssh_server() {
    insta::assert_json_snapshot!(table(agreed(&SSH, &["ssh."])));
}

/// The same recordings, of a server that was looked at by its name.
#[test]
fn recordings_of_a_named_target_meet_at_its_address() {
    let places = |tool: &str, report: &[u8], from: &str, to: &str| -> BTreeSet<(String, Option<u16>)> {
        let text = String::from_utf8(report.to_vec()).unwrap();
        assert!(text.contains(from), "{tool}: {from}");
        let seen = read(tool, text.replace(from, to).as_bytes());
        let tls = seen.into_iter().filter(|one| one.rule.starts_with("tls."));
        tls.map(|one| (one.location.host, one.location.port)).collect()
    };
    let plain = |tool: &str| {
        let (_, report) = TLS.iter().find(|(name, _)| *name == tool).unwrap();
        (places(tool, report, "127.0.0.1", "127.0.0.1"), *report)
    };
    let (expected, report) = plain("testssl");
    assert_eq!(places("testssl", report, "127.0.0.1/127.0.0.1", "app.example.com/127.0.0.1"), expected);
    let (expected, report) = plain("sslyze");
    assert_eq!(places("sslyze", report, "\"hostname\": \"127.0.0.1\"", "\"hostname\": \"app.example.com\""), expected);
}
