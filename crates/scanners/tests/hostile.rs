//! Hostile outputs (O1 to O9) against every format at once: our own samples and the corpus are cut, filled with hostile text
//! in every field, nested, and stretched. No parser may panic, call a cut file complete, let a control character through,
//! or keep a secret.

#[path = "hostile/random.rs"]
mod random;

use std::{
    fs,
    path::{Path, PathBuf},
};

use picket_domain::Observation;
use picket_scanners::{Context, Format, Head, Parsed, formats, recognize};
use serde_json::Value;

/// Steers terminals, browsers, spreadsheets, templates, typesetters and the eye.
const HOSTILE: &str = "\u{1b}[31m\u{9b}0m\u{7}\u{202e}\u{200b}\u{feff}<script>alert(1)</script>=cmd|' /C calc'!A0{{7*7}}#eval(\"x\")$x^2$\r\n\0%s../../etc";
/// What our samples hold as passwords and cookies.
const SECRET: &str = "guess-me-not";
/// Fields of one file that are filled, evenly spread.
const MAX_FIELDS: usize = 60;
const MAX_CORPUS_BYTES: u64 = 100_000;

struct Sample {
    name: String,
    bytes: Vec<u8>,
    format: &'static dyn Format,
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn samples() -> Vec<Sample> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    files(&root.join("testdata"), &mut paths);
    let own = paths.len();
    files(&root.join("../../../shared/corpus"), &mut paths);
    if paths.len() == own {
        println!("there is no corpus: own samples alone");
    }
    paths.sort();
    let small = |path: &PathBuf| fs::metadata(path).unwrap().len() <= MAX_CORPUS_BYTES;
    let sample = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        let format = recognize(&Head::new(&bytes, true))?;
        Some(Sample { name: path.display().to_string(), bytes, format })
    };
    paths.into_iter().filter(small).filter_map(sample).collect()
}

/// Parses, and checks what no output may ever hold.
fn parse(name: &str, format: &dyn Format, bytes: &[u8]) -> (Parsed, u64) {
    let mut told = 0;
    let parsed = format.parse(&mut &bytes[..], &Context::default(), &mut |observation| {
        told += 1;
        check(name, &observation);
    });
    assert_eq!(parsed.observations, told, "{name}");
    assert!(!parsed.is_refused || !parsed.is_complete(), "{name}");
    assert_eq!(parsed.is_complete(), parsed.reason.is_empty(), "{name}");
    assert!(parsed.reason.len() <= 300 && !parsed.reason.contains(char::is_control), "{name}");
    (parsed, told)
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn check(name: &str, observation: &Observation) {
    let location = &observation.location;
    for (text, limit) in [
        (&observation.title, 300),
        (&observation.rule, 200),
        (&observation.subject, 200),
        (&location.host, 253),
        (location.url.as_ref().unwrap_or(&String::new()), 800),
    ] {
        assert!(text.len() <= limit && !text.contains(is_hidden), "{name}: {text:?}");
    }
    for text in [&observation.description, &observation.evidence, &observation.remediation] {
        assert!(text.len() <= 4096 && !text.contains(|c| c != '\n' && is_hidden(c)), "{name}: {text:?}");
    }
    if let Some(service) = &observation.service {
        let texts = [&service.name, &service.product, &service.version, &service.extra_info];
        assert!(
            texts.into_iter().flatten().chain(&service.cpe).all(|text| text.len() <= 300 && !text.contains(is_hidden))
        );
    }
    let is_web = |url: &String| url.starts_with("http://") || url.starts_with("https://");
    assert!(location.url.iter().chain(&observation.references).all(is_web), "{name}: {observation:?}");
    assert!(!location.host.is_empty() && !observation.rule.is_empty(), "{name}: {observation:?}");
    assert!(observation.references.len() <= 16 && observation.cvss.is_none_or(|score| (0.0..=10.0).contains(&score)));
    assert!(!format!("{observation:?}").contains(SECRET), "{name}: a secret is kept: {observation:?}");
}

#[test]
fn every_sample_is_read_whole() {
    let expected = include_str!("hostile/samples.tsv");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    for line in expected.lines().skip(1) {
        let [file, tool, format, count, state] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let bytes = fs::read(root.join(file)).unwrap();
        let claims: Vec<_> = formats().filter(|format| format.recognizes(&Head::new(&bytes, true))).collect();
        let names: Vec<_> = claims.iter().map(|format| (format.tool(), format.name())).collect();
        assert_eq!(names, [(tool, format)], "{file}");
        let (parsed, told) = parse(file, claims[0], &bytes);
        let is_complete = if parsed.is_complete() { "complete" } else { "incomplete" };
        assert_eq!((told.to_string().as_str(), is_complete), (count, state), "{file}: {}", parsed.reason);
    }
}

/// Whether nothing shows that `cut`, the beginning of `bytes`, was cut.
fn may_be_whole(format: &dyn Format, bytes: &[u8], cut: &[u8]) -> bool {
    // Lines have no end but their own: a file that ends with one of them may be whole.
    let is_line_based = !matches!(format.name(), "json" | "xml" | "sarif");
    let is_at_line = cut.last() == Some(&b'\n') && is_line_based;
    is_at_line || bytes[cut.len()..].trim_ascii().is_empty()
}

#[test]
fn o6_a_cut_file_is_never_complete() {
    for Sample { name, bytes, format } in samples() {
        if !parse(&name, format, &bytes).0.is_complete() {
            continue;
        }
        for part in 0..20 {
            let cut = &bytes[..bytes.len() * part / 20];
            if may_be_whole(format, &bytes, cut) {
                continue;
            }
            let (parsed, _) = parse(&name, format, cut);
            assert!(!parsed.is_complete(), "{name} cut to {} of {} bytes is complete", cut.len(), bytes.len());
        }
    }
}

/// The same document with the `at`-th text replaced, counting from 0; `None` behind the last.
fn filled(value: &Value, at: usize) -> Option<Value> {
    fn fill(value: &mut Value, left: &mut Option<usize>) {
        match value {
            Value::String(text) => match left {
                Some(0) => {
                    *text = HOSTILE.to_owned();
                    *left = None;
                }
                Some(count) => *count -= 1,
                None => {}
            },
            Value::Array(all) => all.iter_mut().for_each(|value| fill(value, left)),
            Value::Object(map) => map.values_mut().for_each(|value| fill(value, left)),
            _ => {}
        }
    }
    let (mut copy, mut left) = (value.clone(), Some(at));
    fill(&mut copy, &mut left);
    left.is_none().then_some(copy)
}

fn texts(value: &Value) -> usize {
    match value {
        Value::String(_) => 1,
        Value::Array(all) => all.iter().map(texts).sum(),
        Value::Object(map) => map.values().map(texts).sum(),
        _ => 0,
    }
}

/// The file with hostile text in one place after the other.
fn poisoned(bytes: &[u8]) -> Vec<Vec<u8>> {
    if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
        let count = texts(&value);
        let step = count.div_ceil(MAX_FIELDS).max(1);
        return (0..count)
            .step_by(step)
            .filter_map(|at| filled(&value, at))
            .map(|value| value.to_string().into())
            .collect();
    }
    let text = String::from_utf8_lossy(bytes);
    if text.trim_start().starts_with('<') {
        return between(&text, '"', '"').into_iter().chain(between(&text, '>', '<')).collect();
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut all = Vec::new();
    for (at, line) in lines.iter().enumerate().take(MAX_FIELDS) {
        let mut lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        let fields = serde_json::from_str::<Value>(line).ok();
        let poisoned = match &fields {
            Some(value) => {
                (0..texts(value)).filter_map(|at| filled(value, at)).map(|value| value.to_string()).collect()
            }
            None => words(line),
        };
        for line in poisoned {
            lines[at] = line;
            all.push((lines.join("\n") + "\n").into_bytes());
        }
    }
    all
}

/// The line with one word replaced after the other.
fn words(line: &str) -> Vec<String> {
    let hostile = HOSTILE.replace(['\n', '\r'], "");
    let words: Vec<&str> = line.split_inclusive([' ', ',']).collect();
    (0..words.len().min(12))
        .map(|at| [&words[..at].concat(), hostile.as_str(), &words[at + 1..].concat()].concat())
        .collect()
}

/// What stands between two marks, replaced; escaped as far as XML has words for it.
fn between(text: &str, from: char, to: char) -> Vec<Vec<u8>> {
    let hostile = HOSTILE.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('\0', "");
    let starts: Vec<usize> = text.match_indices(from).map(|(at, _)| at + 1).collect();
    let step = starts.len().div_ceil(MAX_FIELDS).max(1);
    let replace = |start: &usize| {
        let end = text[*start..].find(to)? + start;
        Some([&text[..*start], &hostile, &text[end..]].concat().into_bytes())
    };
    starts.iter().step_by(step).filter_map(replace).collect()
}

#[test]
fn o1_o2_o9_hostile_text_in_any_field_is_defused() {
    let (mut documents, mut observations) = (0_u64, 0);
    for Sample { name, bytes, format } in samples() {
        for document in poisoned(&bytes) {
            observations += parse(&name, format, &document).1;
            documents += 1;
        }
    }
    println!("{documents} documents, {observations} observations");
    assert!(documents > 100);
}

#[test]
fn o4_o5_entities_and_depth_are_refused_by_every_format() {
    for format in formats() {
        let name = format!("{} {}", format.tool(), format.name());
        for root in ["nmaprun", "report", "document", "niktoscan", "OWASPZAPReport", "get_reports_response"] {
            let entity = "<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;\">";
            let bomb = format!("<?xml version=\"1.0\"?><!DOCTYPE {root} [{entity}]><{root}>&c;</{root}>");
            let outside =
                format!("<!DOCTYPE {root} [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><{root} a=\"&x;\">&x;</{root}>");
            let used = format!("<{root}>&x;</{root}>");
            let deep = format!("<{root}>{}", "<a>".repeat(100_000));
            for document in [bomb, outside, used, deep] {
                let (parsed, told) = parse(&name, format, document.as_bytes());
                assert!(!parsed.is_complete() && told == 0, "{name}: {document:.80}");
            }
        }
        for (open, count) in [("[", 100_000), ("{\"a\":", 100_000), ("[{\"a\":", 50_000)] {
            let (parsed, told) = parse(&name, format, open.repeat(count).as_bytes());
            assert!(!parsed.is_complete() && told == 0, "{name}: {open}");
        }
    }
}

#[test]
fn o5_o7_what_is_empty_binary_or_endless_is_never_complete() {
    let binary: Vec<u8> = (0..=255_u8).cycle().take(70_000).collect();
    let line = "x".repeat(10_000_000);
    let text = format!("[\"{}\"]", "y".repeat(10_000_000));
    for format in formats() {
        let name = format!("{} {}", format.tool(), format.name());
        let endless = if matches!(format.name(), "json" | "sarif") { &text } else { &line };
        for document in [&b""[..], b"\n", b"\0", &binary, endless.as_bytes(), b"null", b"\xef\xbb\xbf"] {
            let (parsed, told) = parse(&name, format, document);
            assert!(!parsed.is_complete() && told == 0, "{name}: {} bytes", document.len());
        }
    }
}

#[test]
fn a_file_is_claimed_by_one_format_however_it_begins() {
    for Sample { name, bytes, format } in samples() {
        for length in [bytes.len(), bytes.len() / 2, bytes.len() / 4] {
            let head = Head::new(&bytes[..length], false);
            let claims: Vec<_> = formats().filter(|format| format.recognizes(&head)).collect();
            assert!(
                claims.len() <= 1,
                "{name}: {:?}",
                claims.iter().map(|one| (one.tool(), one.name())).collect::<Vec<_>>()
            );
            assert!(claims.iter().all(|one| one.tool() == format.tool()), "{name}");
        }
    }
}
