//! Every file of the corpus through its parser, beside what the tool's own project or another reader counts in it. Where
//! the counts differ, `corpus/explained.tsv` says why; a line there that nothing needs any more fails as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use picket_domain::Observation;
use picket_scanners::{Context, Head, Parsed, formats};

/// What reading a file gave.
struct Read {
    tool: &'static str,
    parsed: Parsed,
    observations: u64,
    open_ports: u64,
    identities: usize,
}

/// One line of the manifest.
struct Expected {
    count: String,
    raw: BTreeMap<String, u64>,
}

/// One line of `explained.tsv`.
struct Explained {
    ours: String,
    theirs: String,
    why: String,
    is_used: bool,
}

fn corpus() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    if folder.join("MANIFEST.tsv").exists() {
        return Some(folder);
    }
    println!("skipped: there is no corpus in {}", folder.display());
    None
}

fn manifest(corpus: &Path) -> BTreeMap<String, Expected> {
    let text = fs::read_to_string(corpus.join("MANIFEST.tsv")).unwrap();
    let line = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        let pair = |word: &str| word.split_once('=').and_then(|(name, n)| Some((name.to_owned(), n.parse().ok()?)));
        let raw = cells[7].split_whitespace().filter_map(pair).collect();
        (cells[0].to_owned(), Expected { count: cells[4].to_owned(), raw })
    };
    text.lines().skip(1).filter(|text| !text.is_empty()).map(line).collect()
}

fn explained() -> BTreeMap<String, Explained> {
    let text = include_str!("corpus/explained.tsv");
    let mut table = BTreeMap::new();
    for line in text.lines().skip(1).filter(|line| !line.is_empty()) {
        let [file, ours, theirs, why] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("expected four cells: {line}")
        };
        let [ours, theirs, why] = [ours, theirs, why].map(str::to_owned);
        assert!(why.len() > 20, "{file}: expected a reason");
        let row = Explained { ours, theirs, why, is_used: false };
        assert!(table.insert(file.to_owned(), row).is_none(), "{file} is explained twice");
    }
    table
}

/// Reads a file with the only format that claims it.
fn read(file: &Path, bytes: &[u8]) -> Option<Read> {
    let head = Head::new(bytes, true);
    let claims: Vec<_> = formats().filter(|format| format.recognizes(&head)).collect();
    assert!(
        claims.len() <= 1,
        "{}: {:?}",
        file.display(),
        claims.iter().map(|f| (f.tool(), f.name())).collect::<Vec<_>>()
    );
    let format = claims.first()?;
    let (mut identities, mut open_ports) = (std::collections::BTreeSet::new(), 0);
    let parsed = format.parse(&mut &bytes[..], &Context::default(), &mut |observation: Observation| {
        open_ports += u64::from(observation.rule == "port.open");
        identities.insert(observation.identity());
    });
    let identities = identities.len();
    Some(Read { tool: format.tool(), observations: parsed.observations, parsed, open_ports, identities })
}

/// What we count, as the peers of that tool count it: nmap's count open ports.
fn ours(folder: &str, read: &Read) -> u64 {
    if folder == "nmap" { read.open_ports } else { read.observations }
}

/// The count as the tables write it: `refused` for what no format takes.
fn shown(folder: &str, read: Option<&Read>) -> String {
    match read {
        None => "refused".to_owned(),
        Some(read) if read.parsed.is_refused => "refused".to_owned(),
        Some(read) => ours(folder, read).to_string(),
    }
}

#[test]
fn every_file_of_the_corpus_is_read_as_its_tool_counts_it() {
    let Some(corpus) = corpus() else { return };
    let (manifest, mut explained) = (manifest(&corpus), explained());
    let (mut table, mut faults) = (BTreeMap::<String, [u32; 3]>::new(), String::new());
    for (name, expected) in &manifest {
        let folder = name.split('/').next().unwrap();
        let bytes = fs::read(corpus.join(name)).unwrap();
        let read = read(&corpus.join(name), &bytes);
        let row = table.entry(folder.to_owned()).or_default();
        row[0] += 1;
        if let Some(read) = &read {
            let tool = folder.replace("ssh_audit", "ssh-audit");
            assert_eq!(read.tool, tool, "{name} was taken for another tool's");
        }
        let mine = shown(folder, read.as_ref());
        let refuses = expected.count == "ERROR" && mine == "refused";
        if refuses || mine == expected.count {
            row[1] += 1;
            continue;
        }
        match explained.get_mut(name) {
            Some(line) if line.ours == mine && line.theirs == expected.count => {
                line.is_used = true;
                row[2] += 1;
            }
            line => faults.push_str(&fault(name, &mine, read.as_ref(), expected, line.as_deref())),
        }
    }
    print_table(&table);
    for (name, line) in &explained {
        if !line.is_used {
            writeln!(faults, "{name}: the explanation is not needed ({})", line.why).unwrap();
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

fn fault(name: &str, mine: &str, read: Option<&Read>, expected: &Expected, line: Option<&Explained>) -> String {
    let said = line.map_or("nothing".to_owned(), |line| format!("{} / {}: {}", line.ours, line.theirs, line.why));
    let gap = read.map_or("", |read| &read.parsed.reason);
    let ids = read.map_or(0, |read| read.identities);
    let Expected { count, raw } = expected;
    format!("{name}: ours {mine} ({ids} distinct; {gap}), theirs {count}, raw {raw:?}, explained by {said}\n")
}

fn print_table(table: &BTreeMap<String, [u32; 3]>) {
    println!("{:<12} {:>5} {:>5} {:>9}", "tool", "files", "equal", "explained");
    let mut total = [0; 3];
    for (tool, row) in table {
        println!("{tool:<12} {:>5} {:>5} {:>9}", row[0], row[1], row[2]);
        for (sum, count) in total.iter_mut().zip(row) {
            *sum += count;
        }
    }
    println!("{:<12} {:>5} {:>5} {:>9}", "all", total[0], total[1], total[2]);
}

/// What is told of each recording of services of ours: counts of ours, of which no peer has an opinion.
const RECORDINGS: [(&str, u64); 12] = [
    ("feroxbuster.jsonl", 12),
    ("ffuf.json", 9),
    ("nikto_2.6.json", 20),
    ("nmap_banners.xml", 7),
    ("nmap_sV.xml", 7),
    ("nmap_scripts.xml", 58),
    ("sshaudit_3.9.0.json", 24),
    ("sslscan.xml", 10),
    ("sslyze.json", 11),
    ("testssl.json", 137),
    ("wapiti_3.2.3.json", 13),
    ("whatweb.json", 2),
];

#[test]
fn recordings_of_loopback_services_are_recognized_and_told() {
    let Some(corpus) = corpus() else { return };
    let mut hit = BTreeSet::new();
    for entry in fs::read_dir(corpus.join("loopback")).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let read = read(&file, &fs::read(&file).unwrap()).unwrap_or_else(|| panic!("{name} is not recognized"));
        println!("{name}: {} {} observations, {:?}", read.tool, read.observations, read.parsed.gap);
        assert!(read.observations > 0 && !read.parsed.is_refused, "{name}: {:?}", read.parsed);
        if let Some((_, expected)) = RECORDINGS.iter().find(|(file, _)| *file == name) {
            assert_eq!(read.observations, *expected, "{name}");
            hit.insert(name);
        }
    }
    assert_eq!(hit.len(), RECORDINGS.len(), "a recording is not there any more: {hit:?}");
}

/// Tools whose own severity is ours as well; the others' findings are judged by rules of ours (ZAP's where they are of
/// headers and cookies), or the manifest's by its peer.
const SEVERITY_AS_GIVEN: [&str; 3] = ["nuclei", "openvas", "trivy"];
/// Files in which it is not, and why.
const OTHER_SEVERITIES: [(&str, &str); 2] = [
    (
        "openvas/django-DefectDojo__many_vuln.xml",
        "by the number, 9.0 and more being critical; the peer takes GMP's word",
    ),
    ("trivy/trivy__gomod-vex.json.golden", "unknown stays unknown; the peer calls it info"),
];

/// `Medium=3 Info=1` in words of ours.
fn severities(text: &str) -> BTreeMap<String, u64> {
    let pair = |word: &str| {
        let (name, count) = word.split_once('=')?;
        let name = name.to_ascii_lowercase();
        Some((if name == "informational" { "info".to_owned() } else { name }, count.parse().ok()?))
    };
    text.split_whitespace().filter_map(pair).collect()
}

#[test]
fn severities_that_the_manifest_names_are_ours_where_the_tool_gives_them() {
    let Some(corpus) = corpus() else { return };
    let text = fs::read_to_string(corpus.join("MANIFEST.tsv")).unwrap();
    let (mut compared, mut faults) = (0, String::new());
    for cells in text.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>()) {
        let (name, wanted) = (cells[0], severities(cells.get(5).copied().unwrap_or_default()));
        let folder = name.split('/').next().unwrap();
        if wanted.is_empty() || !SEVERITY_AS_GIVEN.contains(&folder) {
            continue;
        }
        let bytes = fs::read(corpus.join(name)).unwrap();
        let head = Head::new(&bytes, true);
        let Some(format) = formats().find(|format| format.recognizes(&head)) else { continue };
        let mut found = BTreeMap::<String, u64>::new();
        format.parse(&mut &bytes[..], &Context::default(), &mut |observation: Observation| {
            *found.entry(observation.severity.name().to_owned()).or_default() += 1;
        });
        // Where the peer merges or splits findings, its severities are of something else.
        if found.values().sum::<u64>() != wanted.values().sum::<u64>() {
            continue;
        }
        compared += 1;
        let is_explained = OTHER_SEVERITIES.iter().any(|(file, why)| *file == name && !why.is_empty());
        if (found != wanted) != is_explained {
            writeln!(faults, "{name}: ours {found:?}, theirs {wanted:?}").unwrap();
        }
    }
    println!("{compared} files with severities");
    assert!(faults.is_empty() && compared > 10, "{compared} compared\n{faults}");
}
