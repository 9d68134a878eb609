//! Reports of vulnerabilities: the common form that scripts print (one table per vulnerability, with its state), and the
//! lists of `vulners`, which know nothing but a version. Neither is proof: how sure it is, is said in the description.

use picket_domain::Severity;

use super::super::script::{Node, Script};
use crate::weakness::{Place, Weakness, cve_name};

const CONFIRMED: &str = "Confidence: medium. A script of nmap tested for it.";
const LIKELY: &str = "Confidence: low. A script of nmap found signs of it and could not test further.";
const CONTRADICTED: &str =
    "Confidence: very low. A script of nmap reports it, but the service is another product than the one it affects.";
const BY_VERSION: &str = "Confidence: low. Derived from the version in the banner alone: distributions repair weaknesses \
    without changing that version. Compare the installed package before acting.";

/// Scripts whose verdict counts for one product alone: seen on another one it was a false alarm.
const PRODUCTS: &[(&str, &str)] = &[
    ("http-vuln-cve2010-0738", "jboss"),
    ("http-vuln-cve2011-3192", "apache"),
    ("http-vuln-cve2014-2126", "cisco"),
    ("http-vuln-cve2014-2127", "cisco"),
    ("http-vuln-cve2014-2128", "cisco"),
    ("http-vuln-cve2014-2129", "cisco"),
    ("http-vuln-cve2015-1635", "microsoft"),
    ("http-vmware-path-vuln", "vmware"),
    ("http-frontpage-login", "microsoft"),
    ("smb-vuln-ms17-010", "microsoft"),
];

/// What a script without a reader of its own tells, when it speaks the common form.
pub(super) fn reported(script: &Script, place: &Place<'_>) -> Vec<Weakness> {
    script.root.children.iter().filter_map(|table| one(script, table, place)).collect()
}

fn one(script: &Script, table: &Node, place: &Place<'_>) -> Option<Weakness> {
    let title = table.value("title")?;
    let state = table.value("state")?.trim();
    let is_likely = state.starts_with("LIKELY VULNERABLE");
    if !is_likely && !state.starts_with("VULNERABLE") {
        return None;
    }
    let cve = find_cve(table);
    let cvss = find_score(table);
    let (severity, confidence) = if is_contradicted(&script.id, place) {
        (Severity::Info, CONTRADICTED)
    } else if is_likely {
        (Severity::Medium, LIKELY)
    } else {
        (cvss.map_or(Severity::High, Severity::of_cvss), CONFIRMED)
    };
    let lines = |key: &str| table.find(key).map(|list| list.items().collect::<Vec<_>>().join("\n")).unwrap_or_default();
    let description = format!("{confidence}\n\n{}", lines("description"));
    let weakness = Weakness::of_tool(&format!("nmap:{}", script.id), severity, title, &description, &script.output)
        .remedied(lines("refs").as_str());
    Some(match cve {
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

fn is_contradicted(id: &str, place: &Place<'_>) -> bool {
    let needed = PRODUCTS.iter().find(|(script, _)| *script == id).map(|(_, product)| *product);
    needed.zip(place.product()).is_some_and(|(needed, product)| !product.to_ascii_lowercase().contains(needed))
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
}
