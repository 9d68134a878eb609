//! Reports of vulnerabilities: the common form that scripts print (one table per vulnerability, with its state), and the
//! lists of `vulners` and `vulscan`, which know nothing but a version. Neither is proof, and each says how sure it is.

use picket_domain::{Confidence, Severity};

use super::super::script::{Node, Script};
use crate::{
    rules::{self, Rule},
    tls,
    weakness::{Place, Weakness, cve_name},
};

const CONFIRMED: &str = "A script of nmap tested for it.";
const LIKELY: &str = "A script of nmap found signs of it and could not test further.";
const UNCHECKED: &str = "A script of nmap tested for it; which product answers was not looked at, so that it has this weakness at all is not known.";
const CONTRADICTED: &str = "A script of nmap reports it, but the service is another product than the one that has this weakness.";
const BY_VERSION: &str = "Derived from the version in the banner alone: distributions repair weaknesses \
    without changing that version. Compare the installed package before acting.";

/// Scripts whose verdict counts for some products alone, by words of their names in lower case: seen on another one it
/// was a false alarm (`http-vuln-cve2011-3192` says that nginx has a weakness of Apache).
const PRODUCTS: &[(&str, &[&str])] = &[
    ("http-frontpage-login", &["microsoft"]),
    ("http-iis-webdav-vuln", &["microsoft"]),
    ("http-vmware-path-vuln", &["vmware"]),
    ("http-vuln-cve2006-3392", &["webmin", "miniserv"]),
    ("http-vuln-cve2010-0738", &["jboss", "coyote", "tomcat"]),
    ("http-vuln-cve2011-3192", &["apache httpd", "ibm_http_server", "ibm http server", "oracle http server"]),
    ("http-vuln-cve2011-3368", &["apache httpd", "ibm_http_server", "ibm http server", "oracle http server"]),
    ("http-vuln-cve2013-6786", &["rompager"]),
    ("http-vuln-cve2014-2126", &["cisco"]),
    ("http-vuln-cve2014-2127", &["cisco"]),
    ("http-vuln-cve2014-2128", &["cisco"]),
    ("http-vuln-cve2014-2129", &["cisco"]),
    ("http-vuln-cve2015-1427", &["elasticsearch"]),
    ("http-vuln-cve2015-1635", &["microsoft"]),
    ("http-vuln-cve2017-5689", &["intel", "active management"]),
    ("http-vuln-misfortune-cookie", &["rompager"]),
    ("http-vuln-wnr1000-creds", &["netgear"]),
    ("smb-vuln-cve-2017-7494", &["samba"]),
    ("smb-vuln-ms08-067", &["microsoft", "windows"]),
    ("smb-vuln-ms17-010", &["microsoft", "windows"]),
];

/// Scripts that test for what we have a rule of our own for, so that their verdicts meet those of the TLS scanners. Words of
/// the title, in lower case, tell apart what one script reports.
const RULES: &[(&str, &str, Rule)] = &[
    ("ssl-ccs-injection", "", rules::TLS_CCS_INJECTION),
    ("ssl-dh-params", "anonymous", rules::TLS_WEAK_CIPHER_ANONYMOUS),
    ("ssl-dh-params", "", rules::TLS_WEAK_DH_GROUP),
    ("ssl-heartbleed", "", rules::TLS_HEARTBLEED),
    ("ssl-poodle", "", rules::TLS_WEAK_PROTOCOL_SSLV3),
    ("sslv2-drown", "drown", rules::TLS_DROWN),
    ("tls-ticketbleed", "", rules::TLS_TICKETBLEED),
];

/// What a script without a reader of its own tells, when it speaks the common form.
pub(super) fn reported(script: &Script, place: &Place<'_>) -> Vec<Weakness> {
    let mut weaknesses: Vec<Weakness> = Vec::new();
    for weakness in script.root.children.iter().filter_map(|table| one(script, table, place)) {
        // Two tables may tell of one rule.
        if !weaknesses.contains(&weakness) {
            weaknesses.push(weakness);
        }
    }
    weaknesses
}

fn one(script: &Script, table: &Node, place: &Place<'_>) -> Option<Weakness> {
    let title = table.value("title")?;
    let state = table.value("state")?.trim();
    let is_likely = state.starts_with("LIKELY VULNERABLE");
    if !is_likely && !state.starts_with("VULNERABLE") {
        return None;
    }
    let confidence = if is_likely { Confidence::Low } else { Confidence::Medium };
    let lowered = title.to_ascii_lowercase();
    if let Some((.., rule)) = RULES.iter().find(|(id, word, _)| *id == script.id && lowered.contains(word)) {
        let weakness = tls::weakness(*rule, &script.output).sure(confidence);
        return Some(if is_likely { weakness.rated(rule.severity.min(Severity::Medium)) } else { weakness });
    }
    let contradiction = contradiction(&script.id, place);
    let cvss = find_score(table);
    let (severity, confidence, how) = match (&contradiction, is_likely) {
        (Some(_), _) => (Severity::Info, Confidence::Low, CONTRADICTED),
        (None, true) => (Severity::Medium, confidence, LIKELY),
        (None, false) if is_unchecked(&script.id, place) => (cvss.map_or(Severity::High, Severity::of_cvss), Confidence::Low, UNCHECKED),
        (None, false) => (cvss.map_or(Severity::High, Severity::of_cvss), confidence, CONFIRMED),
    };
    let lines = |key: &str| table.find(key).map(|list| list.items().collect::<Vec<_>>().join("\n")).unwrap_or_default();
    let references: Vec<String> = table.find("refs").map(|list| list.items().map(str::to_owned).collect()).unwrap_or_default();
    let evidence = format!("{}{}", contradiction.unwrap_or_default(), script.output);
    let description = format!("{how}\n\n{}", lines("description"));
    let weakness = Weakness::of_tool(&format!("nmap:{}", script.id), severity, title, &description, &evidence)
        .referring(references)
        .sure(confidence);
    Some(match find_cve(table) {
        Some(cve) => weakness.known_as(&cve, cvss),
        None => weakness.about(&table.key),
    })
}

/// The table is named after its CVE, or lists it among its ids.
fn find_cve(table: &Node) -> Option<String> {
    let listed = table.find("ids").map(|ids| ids.items()).into_iter().flatten();
    cve_name(&table.key).or_else(|| listed.filter_map(|id| id.strip_prefix("CVE:")).find_map(cve_name))
}

/// `<elem key="CVSSv2">10.0 (HIGH) (AV:N/…)</elem>`.
fn find_score(table: &Node) -> Option<f64> {
    let scores = table.find("scores")?;
    let best = ["CVSSv4", "CVSSv3", "CVSSv2", "CVSS"].iter().find_map(|kind| scores.value(kind))?;
    read_score(best.split_whitespace().next()?)
}

fn read_score(text: &str) -> Option<f64> {
    text.parse().ok().filter(|score| (0.0..=10.0).contains(score))
}

/// Why the verdict of a script cannot be right: nmap found another product at the port than the script is about.
fn contradiction(id: &str, place: &Place<'_>) -> Option<String> {
    let (_, needed) = PRODUCTS.iter().find(|(script, _)| *script == id)?;
    let product = place.product()?;
    let found = product.to_ascii_lowercase();
    let fits = needed.iter().any(|word| found.contains(word));
    (!fits).then(|| format!("Contradicted: the service is {product}, and {id} tests for a weakness of {}.\n", needed.join(", ")))
}

/// Whether the script is about certain products, and nmap did not look which one answers.
fn is_unchecked(id: &str, place: &Place<'_>) -> bool {
    place.product().is_none() && PRODUCTS.iter().any(|(script, _)| *script == id)
}

/// `vulners`: tables of CPE names, each a list of ids with scores; older versions print lines. An id that is no CVE name
/// itself (an exploit, a note) counts for the CVE that it names, if it names one.
pub(super) fn vulners(script: &Script, place: &Place<'_>) -> Vec<Weakness> {
    let tabled = script.root.children.iter().flat_map(|product| &product.children).filter_map(|entry| {
        let id = entry.value("id")?;
        let is_exploit = entry.value("is_exploit") == Some("true");
        let (cve, is_itself) = cve_name(id).map_or_else(|| Some((cve_inside(id)?, false)), |cve| Some((cve, true)))?;
        Some(Listed { cve, is_itself, cvss: entry.value("cvss").and_then(read_score), is_exploit })
    });
    let mut found: Vec<Listed> = tabled.collect();
    if script.root.children.is_empty() {
        found.extend(script.output.lines().filter_map(read_line));
    }
    // The entry of the CVE itself before those that only name it; what any of them says of an exploit is kept.
    found.sort_by(|one, other| one.cve.cmp(&other.cve).then(other.is_itself.cmp(&one.is_itself)));
    found.dedup_by(|later, kept| {
        let is_same = later.cve == kept.cve;
        kept.is_exploit |= is_same && later.is_exploit;
        is_same
    });
    found.iter().map(|listed| by_version(listed, place)).collect()
}

/// One entry of a list.
struct Listed {
    cve: String,
    is_itself: bool,
    cvss: Option<f64>,
    is_exploit: bool,
}

/// The CVE that another id names, e.g. `MSF:ILITIES/UBUNTU-CVE-2019-6111/`.
fn cve_inside(id: &str) -> Option<String> {
    let from = id.get(id.find("CVE-")?..)?;
    let is_part = |c: char| c.is_ascii_digit() || c == '-';
    let end = from.char_indices().skip(4).find(|(_, c)| !is_part(*c)).map_or(from.len(), |(at, _)| at);
    cve_name(from.get(..end)?.trim_end_matches('-'))
}

/// `CVE-2020-15778  6.8  https://…  *EXPLOIT*`.
fn read_line(line: &str) -> Option<Listed> {
    let mut words = line.split_whitespace();
    let cve = cve_name(words.next()?)?;
    Some(Listed { cve, is_itself: true, cvss: words.next().and_then(read_score), is_exploit: line.contains("*EXPLOIT*") })
}

fn by_version(listed: &Listed, place: &Place<'_>) -> Weakness {
    let Listed { cve, cvss, .. } = listed;
    let version = place.service.and_then(|service| service.version.as_deref()).unwrap_or_default();
    let software = format!("{} {version}", place.product().unwrap_or("the service"));
    let severity = cvss.map_or(Severity::Unknown, Severity::of_cvss);
    let exploit = if listed.is_exploit { "\nThe source also lists an exploit." } else { "" };
    let score = cvss.map_or_else(String::new, |score| format!(", CVSS {score:.1}"));
    Weakness::of_tool(
        "nmap:vulners",
        severity,
        &format!("{cve} may affect {}", software.trim()),
        &format!("{BY_VERSION}{exploit}"),
        &format!("{}: {cve}{score}", software.trim()),
    )
    .remedied("Check whether the installed package holds the fix; if not, upgrade it.")
    .known_as(cve, *cvss)
    .sure(Confidence::Low)
}

/// `vulscan`: titles of old databases that share words with the product. It matched AfterLogic to Redis, so its titles are
/// told as one hint and never as CVE names.
pub(super) fn vulscan(script: &Script, place: &Place<'_>) -> Vec<Weakness> {
    let count = script.output.lines().filter(|line| line.trim_start().starts_with('[')).count();
    if count == 0 {
        return Vec::new();
    }
    let product = place.product().unwrap_or("the service");
    let title = format!("vulscan lists {count} titles that may concern {product}");
    let description = "Titles of vulnerability databases that share words with the name of the product; most concern others.";
    vec![Weakness::of_tool("nmap:vulscan", Severity::Info, &title, description, &script.output).sure(Confidence::Low)]
}
