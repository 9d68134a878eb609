//! Recorded, broken and hostile reports.

use std::{fs, io::BufReader, path::PathBuf};

use picket_domain::Severity;
use proptest::prelude::*;

use super::*;

const SERVICES: &str = include_str!("../../../../testdata/nmap/services.xml");
const OPEN_PORT: &str = include_str!("../../../../testdata/nmap/open_port.xml");
const TIMED_OUT: &str = include_str!("../../../../testdata/nmap/timed_out.xml");

pub(super) fn read(report: &[u8]) -> (Parsed, Vec<Observation>) {
    let mut observations = Vec::new();
    // A small buffer, so that pieces cross its border.
    let parsed = parse(&mut BufReader::with_capacity(61, report), &mut |observation| observations.push(observation));
    assert_eq!(parsed.observations, u64::try_from(observations.len()).unwrap());
    (parsed, observations)
}

/// A report around `hosts`, with everything that makes it complete.
fn report(hosts: &str) -> String {
    format!(
        r#"<?xml version="1.0"?><!DOCTYPE nmaprun><nmaprun start="1795333898" xmloutputversion="1.05">{hosts}<runstats><finished exit="success"/></runstats></nmaprun>"#
    )
}

/// A host at 192.0.2.1 whose port 80 has `inner` after its state.
pub(super) fn web(inner: &str) -> String {
    report(&format!(
        r#"<host><status state="up"/><address addr="192.0.2.1" addrtype="ipv4"/><ports><port protocol="tcp" portid="80"><state state="open"/>{inner}</port></ports></host>"#
    ))
}

pub(super) fn lines(observations: &[Observation]) -> Vec<String> {
    let line = |seen: &Observation| {
        format!("{} {} {} [{}] {}", seen.severity.name(), seen.rule, seen.location, seen.subject, seen.title)
    };
    observations.iter().map(line).collect()
}

fn gap(report: &str) -> Option<Gap> {
    read(report.as_bytes()).0.gap
}

#[test]
fn a_recorded_report_becomes_findings() {
    let (parsed, observations) = read(SERVICES.as_bytes());
    assert!(parsed.is_complete(), "{parsed:?}");
    assert_eq!(parsed.hosts_up, 1);
    insta::assert_json_snapshot!(lines(&observations));
}

#[test]
fn an_open_port_has_its_service_as_evidence() {
    let (_, observations) = read(SERVICES.as_bytes());
    insta::assert_json_snapshot!(observations[0]);
    let (parsed, observations) = read(OPEN_PORT.as_bytes());
    assert!(parsed.is_complete());
    assert_eq!(observations.len(), 1);
    assert_eq!(observations[0].severity, Severity::Info);
}

#[test]
fn a_certificate_is_judged_by_the_clock_of_the_run() {
    let rules = |report: &str| -> Vec<String> {
        let observations = read(report.as_bytes()).1;
        observations.into_iter().map(|seen| seen.rule).filter(|rule| rule.starts_with("tls.certificate")).collect()
    };
    assert_eq!(rules(SERVICES), ["tls.certificate_expired", "tls.certificate_self_signed"]);
    // 2020-01-15, between both dates; 2019-12-01, before them.
    assert_eq!(rules(&SERVICES.replace("start=\"1795333898\"", "start=\"1579046400\"")), ["tls.certificate_expiring", "tls.certificate_self_signed"]);
    assert_eq!(
        rules(&SERVICES.replace("start=\"1795333898\"", "start=\"1575158400\"")),
        ["tls.certificate_not_yet_valid", "tls.certificate_self_signed"]
    );
}

#[test]
fn a_host_that_took_too_long_is_a_gap() {
    let (parsed, observations) = read(TIMED_OUT.as_bytes());
    assert_eq!((parsed.gap, observations.len()), (Some(Gap::TimedOut), 0));
}

#[test]
fn o6_a_report_cut_anywhere_is_never_complete() {
    let (_, all) = read(SERVICES.as_bytes());
    let end = SERVICES.rfind("</nmaprun>").unwrap();
    for cut in (0..=end).step_by(13).chain(end.saturating_sub(200)..=end) {
        let (parsed, observations) = read(SERVICES.as_bytes().get(..cut).unwrap());
        assert_eq!(parsed.gap, Some(Gap::OutputIncomplete), "cut at {cut}");
        assert!(all.starts_with(&observations), "cut at {cut}");
    }
}

#[test]
fn o7_no_output_and_no_host_are_never_clean() {
    for text in ["", " \n", "nmap: command not found", "{}", "<html></html>", "\u{feff}", "QUITTING!", "<", "<nmaprun"] {
        let (parsed, _) = read(text.as_bytes());
        assert_eq!(parsed.gap, Some(Gap::OutputIncomplete), "{text:?}");
        assert!(!parsed.reason.is_empty());
    }
    assert_eq!(gap(&report("")), Some(Gap::OutputIncomplete));
    assert_eq!(gap(&report(r#"<host><status state="down"/></host>"#)), Some(Gap::OutputIncomplete));
    assert_eq!(gap(&web("")), None);
}

#[test]
fn a_run_that_did_not_end_well_says_so() {
    let failed = web("").replace(r#"exit="success""#, r#"exit="error" errormsg="out of &lt;memory&gt;""#);
    let (parsed, observations) = read(failed.as_bytes());
    assert_eq!((parsed.gap, parsed.reason.as_str()), (Some(Gap::ToolFailed), "nmap ended with an error: out of <memory>"));
    assert_eq!(observations.len(), 1);
    assert_eq!(gap(&web("").replace(r#"exit="success""#, "")), Some(Gap::OutputIncomplete));
    assert_eq!(gap(&web("").replace(r#"<runstats><finished exit="success"/></runstats>"#, "")), Some(Gap::OutputIncomplete));
    // Before format 1.04 nmap did not say how it ended.
    assert_eq!(gap(&web("").replace(r#"exit="success""#, "").replace("1.05", "1.03")), None);
    // Only the report itself ends the run, not what a script of a host prints.
    let forged = web(r#"<script id="x" output="y"><table><finished exit="success"/></table></script>"#)
        .replace(r#"<runstats><finished exit="success"/></runstats>"#, "");
    assert_eq!(gap(&forged), Some(Gap::OutputIncomplete));
}

#[test]
fn o4_entities_are_refused() {
    let bomb = r#"<!DOCTYPE nmaprun [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>"#;
    let external = r#"<!DOCTYPE nmaprun [<!ENTITY x SYSTEM "file:///etc/passwd">]>"#;
    for doctype in [bomb, external, r#"<!DOCTYPE nmaprun SYSTEM "http://192.0.2.1/x.dtd" [<!ENTITY a "b">]>"#, "<!DOCTYPE nmaprun []>"] {
        let hostile = web("").replace("<!DOCTYPE nmaprun>", doctype);
        let (parsed, observations) = read(hostile.as_bytes());
        assert_eq!((parsed.gap, observations.len()), (Some(Gap::OutputIncomplete), 0), "{doctype}");
    }
    assert_eq!(gap(&web("<service><cpe>&x;</cpe></service>")), Some(Gap::OutputIncomplete));
    assert_eq!(gap(&web("<!DOCTYPE nmaprun>")), Some(Gap::OutputIncomplete));
}

#[test]
fn protocols_of_ip_are_no_ports_and_no_damage() {
    let scan = web("").replace("protocol=\"tcp\"", "protocol=\"ip\"");
    assert!(scan.contains("protocol=\"ip\""));
    let (parsed, observations) = read(scan.as_bytes());
    assert!(parsed.is_complete(), "{parsed:?}");
    assert!(observations.iter().all(|one| one.location.port.is_none()));
}

#[test]
fn o5_depth_and_length_are_bounded() {
    let deep = web(&format!("<script id=\"x\">{}{}</script>", "<table>".repeat(10_000), "</table>".repeat(10_000)));
    assert_eq!(gap(&deep), Some(Gap::OutputIncomplete));
    let long = "A".repeat(5 << 20);
    for inner in [format!("<script id=\"x\" output=\"{long}\"/>"), format!("<extra>{long}</extra>"), format!("<!--{long}-->"), format!("<{long}/>")] {
        assert_eq!(gap(&web(&inner)), Some(Gap::OutputIncomplete));
    }
    let wide = web(&format!("<script id=\"x\">{}</script>", "<elem>1</elem>".repeat(30_000)));
    assert_eq!(gap(&wide), Some(Gap::OutputTruncated));
}

#[test]
fn o5_more_observations_than_can_be_kept_are_marked() {
    let mut kept = 0;
    let mut sink = |_| kept += 1;
    let mut report = Report { limit: 3, ..Report::new(&mut sink) };
    let fault = xml::read(&mut SERVICES.as_bytes(), ROOT, &mut report).err();
    let parsed = report.parsed(fault);
    assert_eq!((parsed.gap, parsed.observations, kept), (Some(Gap::OutputTruncated), 3, 3));
}

#[test]
fn o1_o2_text_of_the_target_is_bounded_and_cleaned() {
    let title = "&lt;img onerror=x&gt;&#27;[31m&#x202e;=cmd|${jndi:ldap://x}{{7*7}}#read(&quot;x&quot;)".repeat(2000);
    let hostile = web(&format!(
        r#"<service name="http" product="{title}" version="&#10;1"/><script id="http-title" output="{title}"/><script id="http-server-header" output="{title}"/>"#
    ));
    let (parsed, observations) = read(hostile.as_bytes());
    assert!(parsed.is_complete());
    assert_eq!(observations.len(), 3);
    for seen in &observations {
        assert!(seen.title.len() <= 300 && seen.evidence.len() <= 4096, "{seen:?}");
        let text = format!("{}{}{:?}", seen.title, seen.evidence, seen.service);
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\0']), "{text}");
        assert!(!seen.title.contains('\n'));
    }
}

#[test]
fn o9_a_script_cannot_pretend_to_be_a_port() {
    let hostile = web(
        r#"<script id="x" output="&lt;/script&gt;&lt;port&gt;"><port protocol="tcp" portid="1"><state state="open"/></port><host><address addr="10.0.0.1"/></host></script>"#,
    );
    let (_, observations) = read(hostile.as_bytes());
    assert_eq!(lines(&observations), ["info port.open 192.0.2.1:80/tcp [] Open port 80/tcp"]);
}

#[test]
fn what_cannot_be_placed_makes_the_report_incomplete() {
    for (good, bad) in [("portid=\"80\"", "portid=\"99999\""), ("protocol=\"tcp\"", "protocol=\"icmp\""), ("addr=\"192.0.2.1\"", "addr=\"x\"")] {
        let (parsed, observations) = read(web("").replace(good, bad).as_bytes());
        assert_eq!((parsed.gap, observations.len()), (Some(Gap::OutputIncomplete), 0), "{bad}");
    }
}

#[test]
fn only_open_ports_are_told_of() {
    for state in ["closed", "filtered", "open|filtered", "unfiltered"] {
        let (parsed, observations) =
            read(web(r#"<script id="http-title" output="x"/>"#).replace("state=\"open\"", &format!("state=\"{state}\"")).as_bytes());
        assert!(parsed.is_complete() && observations.is_empty(), "{state}");
    }
}

#[test]
fn the_operating_system_is_a_guess() {
    let os = r#"</port></ports><os><osmatch name="Linux 5.X" accuracy="97"/><osmatch name="Linux 4.X" accuracy="90"/></os><ports><port>"#;
    let (parsed, observations) = read(web(os).as_bytes());
    assert!(parsed.is_complete(), "{parsed:?}");
    let last = observations.last().unwrap();
    assert_eq!((last.rule.as_str(), last.title.as_str()), ("host.operating_system", "Operating system: Linux 5.X (97 %)"));
    assert_eq!(last.location.port, None);
}

/// Where the recorded outputs of other projects are, when they are.
fn corpus() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("PICKET_SHARED").map_or_else(beside, PathBuf::from);
    let corpus = shared.join("corpus");
    if corpus.is_dir() {
        return Some(corpus);
    }
    println!("skipped: no corpus of recorded outputs at {}", corpus.display());
    None
}

/// The number behind `name=` in a column of the manifest.
fn number(column: &str, name: &str) -> Option<usize> {
    column.split_whitespace().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

#[test]
fn reports_of_other_projects_hold_as_many_open_ports_as_their_peers_count() {
    let Some(corpus) = corpus() else { return };
    let manifest = fs::read_to_string(corpus.join("MANIFEST.tsv")).unwrap();
    let mut seen = 0;
    for row in manifest.lines().filter(|row| row.starts_with("nmap/")) {
        let columns: Vec<&str> = row.split('\t').collect();
        let (parsed, observations) = read(&fs::read(corpus.join(columns[0])).unwrap());
        let open = observations.iter().filter(|seen| seen.rule == "port.open").count();
        let mut cves: Vec<&String> = observations.iter().filter_map(|seen| seen.cve.as_ref()).collect();
        cves.sort_unstable();
        cves.dedup();
        assert_eq!(Some(open), number(columns[7], "open"), "{}: {parsed:?}", columns[0]);
        assert_eq!(Some(cves.len()), number(columns[7], "distinct_cve_ids"), "{}", columns[0]);
        // What holds no host that is up is nothing to be called clean.
        let is_empty = columns[4] == "ERROR" || parsed.hosts_up == 0;
        assert_eq!(parsed.is_complete(), !is_empty, "{}: {parsed:?}", columns[0]);
        if let Some(up) = number(columns[8], "up") {
            assert_eq!(usize::try_from(parsed.hosts_up).unwrap(), up, "{}", columns[0]);
        }
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn the_demo_target_shows_its_weaknesses() {
    let Some(corpus) = corpus() else { return };
    let rules = |name: &str| {
        let (parsed, observations) = read(&fs::read(corpus.join("loopback").join(name)).unwrap());
        assert!(parsed.is_complete(), "{name}: {parsed:?}");
        let mut rules: Vec<String> =
            observations.iter().map(|seen| format!("{}:{}", seen.location.port.unwrap_or_default(), seen.rule)).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    };
    let scripts = rules("nmap_scripts.xml");
    for rule in [
        "21:ftp.anonymous_login",
        "443:http.git_exposed",
        "443:tls.certificate_self_signed",
        "443:tls.weak_cipher.anonymous",
        "443:tls.weak_cipher.null",
        "443:tls.weak_key",
        "443:tls.weak_protocol.tlsv1.0",
        "443:tls.weak_protocol.tlsv1.1",
        "443:tls.weak_signature",
        "6379:redis.no_authentication",
        "80:http.cookie_without_httponly",
        "80:http.directory_listing",
        "80:http.git_exposed",
        "8080:http.trace_enabled",
    ] {
        assert!(scripts.contains(&rule.to_owned()), "{rule} is not in {scripts:?}");
    }
    // "Proxy might be redirecting requests", and a certificate that is still valid.
    assert!(!scripts.iter().any(|rule| rule.ends_with("http.open_proxy") || rule.ends_with("certificate_expired")));
    assert_eq!(rules("nmap_banners.xml").len(), 7);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(!read(&bytes).0.is_complete());
    }

    #[test]
    fn any_change_of_a_report_is_read_without_a_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        splice in prop::option::of((any::<prop::sample::Index>(), "[<>&;/\"=a-z]{1,12}")),
    ) {
        let mut bytes = SERVICES.as_bytes().to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some((place, text)) = splice {
            let place = place.index(bytes.len());
            bytes.splice(place..place, text.into_bytes());
        }
        let (_, observations) = read(&bytes);
        for seen in observations {
            prop_assert!(seen.title.len() <= 300 && seen.evidence.len() <= 4096 && seen.subject.len() <= 200);
            prop_assert!(seen.location.host.parse::<IpAddr>().is_ok());
        }
    }
}
