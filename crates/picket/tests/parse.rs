//! `picket parse` as a program: every file of the corpus, and files that are meant to break it.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

/// How one run ended.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn ended(output: Output) -> Ended {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what is printed is text");
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Without any setting: neither a file nor the environment.
fn picket(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_picket"));
    command.env_clear().arg("parse").args(arguments);
    command
}

fn parse(file: &Path, arguments: &[&str]) -> Ended {
    ended(picket(arguments).arg(file).output().unwrap())
}

/// Whatever `bytes` are, through standard input.
fn fed(bytes: &[u8], arguments: &[&str]) -> Ended {
    let mut child =
        picket(arguments).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    // A program that refuses early does not read to the end.
    let feeder = std::thread::spawn(move || drop(input.write_all(&bytes)));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    ended(output)
}

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let Ok(folders) = fs::read_dir(&folder) else {
        println!("skipped: there is no corpus in {}", folder.display());
        return Vec::new();
    };
    let folders = folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut files: Vec<_> =
        folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())).collect();
    files.sort();
    files
}

/// The one JSON object, checked for its fields.
fn object(name: &str, ended: &Ended) -> Value {
    let object: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(object["tool"].is_string() && object["format"].is_string(), "{name}");
    assert_eq!(object["complete"] == json!(false), object["reason"].is_string(), "{name}: {:?}", object["reason"]);
    for finding in object["findings"].as_array().unwrap() {
        let fields = [
            "rule",
            "title",
            "severity",
            "cve",
            "cvss",
            "cwe",
            "host",
            "port",
            "protocol",
            "url",
            "subject",
            "fingerprint",
            "confidence",
            "description",
            "evidence",
            "remediation",
            "references",
        ];
        let mut found: Vec<_> = finding.as_object().unwrap().keys().map(String::as_str).collect();
        let mut wanted = fields.to_vec();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{name}");
        let is_hex = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_hex(finding["fingerprint"].as_str().unwrap()), "{name}: {finding}");
        assert!(!finding["host"].as_str().unwrap().is_empty(), "{name}: {finding}");
        assert!(!finding["title"].as_str().unwrap().is_empty(), "{name}: {finding}");
    }
    object
}

#[test]
fn every_file_of_the_corpus_is_one_json_object_or_is_refused_with_a_reason() {
    let (mut read, mut refused) = (0, 0);
    for file in corpus() {
        let name = file.display().to_string();
        let ended = parse(&file, &[]);
        match ended.code {
            Some(0) => {
                object(&name, &ended);
                read += 1;
            }
            Some(2) => {
                assert!(ended.err.starts_with("picket: refused: ") && ended.err.len() > 25, "{name}: {}", ended.err);
                assert!(ended.out.is_empty() || object(&name, &ended)["complete"] == json!(false), "{name}");
                refused += 1;
            }
            code => panic!("{name}: {code:?} {}", ended.err),
        }
    }
    println!("{read} files read, {refused} refused");
}

#[test]
fn the_sarif_of_a_report_is_valid_and_reads_back_as_many_findings() {
    for file in corpus() {
        let name = file.display().to_string();
        let (plain, sarif) = (parse(&file, &[]), parse(&file, &["--format", "sarif"]));
        assert_eq!(plain.code, sarif.code, "{name}");
        if plain.code != Some(0) {
            continue;
        }
        let count = object(&name, &plain)["findings"].as_array().unwrap().len();
        let log: Value = serde_json::from_str(&sarif.out).unwrap();
        check_sarif(&name, &log);
        assert_eq!(log["runs"][0]["results"].as_array().unwrap().len(), count, "{name}");
        let again = object(&name, &fed(sarif.out.as_bytes(), &[]));
        assert_eq!(
            (again["tool"].as_str(), again["findings"].as_array().unwrap().len()),
            (Some("sarif"), count),
            "{name}"
        );
    }
}

/// The rules of the schema of SARIF 2.1.0 that concern what we write.
fn check_sarif(name: &str, log: &Value) {
    assert_eq!(log["version"], "2.1.0");
    assert!(log["$schema"].as_str().unwrap().ends_with("sarif-schema-2.1.0.json"));
    let run = &log["runs"][0];
    let driver = &run["tool"]["driver"];
    assert!(driver["name"].as_str().is_some_and(|name| !name.is_empty()), "{name}");
    let rules: Vec<_> = driver["rules"].as_array().unwrap().iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    let mut unique = rules.clone();
    unique.dedup();
    assert_eq!(unique, rules, "{name}: rules have names of their own");
    assert!(run["invocations"][0]["executionSuccessful"].is_boolean());
    for result in run["results"].as_array().unwrap() {
        assert!(["error", "warning", "note", "none"].contains(&result["level"].as_str().unwrap()), "{name}");
        assert!(!result["message"]["text"].as_str().unwrap().is_empty(), "{name}");
        assert!(rules.contains(&result["ruleId"].as_str().unwrap()), "{name}");
        assert!(result["partialFingerprints"].as_object().unwrap().values().all(Value::is_string));
        for location in result["locations"].as_array().unwrap() {
            assert!(!location["logicalLocations"][0]["fullyQualifiedName"].as_str().unwrap().is_empty(), "{name}");
            let uri = &location["physicalLocation"]["artifactLocation"]["uri"];
            assert!(uri.is_null() || uri.as_str().unwrap().starts_with("http"), "{name}");
        }
    }
}

const LINE: &str = r#"{"url":"http://192.0.2.1/","input":"192.0.2.1","status_code":200,"title":"x"}"#;

#[test]
fn a_table_has_a_line_for_each_finding_and_nothing_that_steers_a_terminal() {
    let hostile = LINE.replace("\"x\"", r#""\u001b[31mred\u202e""#);
    let ended = fed(format!("{hostile}\n{LINE}\n").as_bytes(), &["--format", "table"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(ended.out.lines().filter(|line| line.starts_with("info ")).count(), 2, "{}", ended.out);
    assert!(
        !ended.out.contains(['\u{1b}', '\u{202e}'])
            && ended.out.contains("2 findings in a report of httpx (jsonl), incomplete: ")
    );
}

#[test]
fn the_tool_may_be_named_and_must_be_the_one_that_wrote_the_file() {
    assert_eq!(fed(LINE.as_bytes(), &["--tool", "httpx"]).code, Some(0));
    let other = fed(LINE.as_bytes(), &["--tool", "nmap"]);
    assert_eq!((other.code, other.out.as_str()), (Some(2), ""));
    assert!(other.err.contains("a report of httpx, not of nmap"), "{}", other.err);
    let unknown = fed(LINE.as_bytes(), &["--tool", "../sh"]);
    assert!(unknown.code == Some(2) && unknown.err.contains("expected a tool"), "{}", unknown.err);
}

#[test]
fn a_report_of_a_named_tool_that_found_nothing_may_be_empty_but_is_never_complete() {
    for (tool, file) in
        [("nuclei", ""), ("nuclei", "[]\n"), ("httpx", "\n"), ("whatweb", "[\n]\n"), ("wpscan", "{}"), ("drheader", "")]
    {
        let ended = fed(file.as_bytes(), &["--tool", tool]);
        assert_eq!(ended.code, Some(0), "{tool}: {}", ended.err);
        let object = object(tool, &ended);
        assert_eq!((&object["findings"], &object["complete"]), (&json!([]), &json!(false)), "{tool}");
        assert_eq!((&object["reason"], &object["tool"]), (&json!("the report is empty"), &json!(tool)));
        assert_eq!(fed(file.as_bytes(), &[]).code, Some(2), "{tool}: nobody says whose it is");
        for format in ["sarif", "table"] {
            assert_eq!(fed(file.as_bytes(), &["--tool", tool, "--format", format]).code, Some(0), "{tool} {format}");
        }
    }
    for (tool, file) in [
        ("nmap", &b""[..]),
        ("sslscan", b""),
        ("nuclei", b"{}"),
        ("nuclei", b"\0"),
        ("nuclei", b"hello"),
        ("../sh", b""),
    ] {
        let ended = fed(file, &["--tool", tool]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{tool}");
    }
}

#[test]
fn a_file_that_is_none_is_refused_and_one_that_is_cut_is_never_complete() {
    let bomb =
        "<?xml version=\"1.0\"?><!DOCTYPE nmaprun [<!ENTITY a \"aa\"><!ENTITY b \"&a;&a;\">]><nmaprun>&b;</nmaprun>";
    let outside = "<!DOCTYPE nmaprun [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><nmaprun>&x;</nmaprun>";
    let deep = format!("{{\"SchemaVersion\":2,\"ArtifactName\":\"x\",\"Results\":{}", "[".repeat(100_000));
    let long = format!("{LINE}\n{}\n", LINE.replace("\"x\"", &format!("\"{}\"", "y".repeat(3_000_000))));
    let huge = format!("{LINE}\n{{\"a\":\"{}\"}}\n", "y".repeat(20_000_000));
    let cut = "{\"SchemaVersion\":2,\"ArtifactName\":\"x\",\"Results\":[{\"Target\":\"t\",\"Class\":\"os-pkgs\",\"Vulnerabilities\":[{\"VulnerabilityID\":\"CVE-2020-1234\",\"PkgName\":\"p\"},{\"Vuln";
    let binary: Vec<u8> = (0..=255_u8).rev().cycle().take(100_000).collect();
    let cases: [(&str, &[u8], bool); 10] = [
        ("empty", b"", true),
        ("binary", &binary, true),
        ("text", b"hello\n", true),
        ("html", b"<!doctype html><html></html>", true),
        ("entity bomb", bomb.as_bytes(), true),
        ("external entity", outside.as_bytes(), true),
        ("deep JSON", deep.as_bytes(), false),
        ("a line of more than 4 MiB", huge.as_bytes(), false),
        ("cut", cut.as_bytes(), false),
        ("bill of materials", b"{\"bomFormat\":\"CycloneDX\",\"SchemaVersion\":2,\"ArtifactName\":\"x\"}", true),
    ];
    for (name, bytes, is_refused) in cases {
        let ended = fed(bytes, &[]);
        if is_refused {
            assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{name}: {}", ended.err);
            assert!(ended.err.len() > 25 && !ended.err.contains("root:"), "{name}: {}", ended.err);
        } else {
            assert_eq!(
                (ended.code, &object(name, &ended)["complete"]),
                (Some(0), &json!(false)),
                "{name}: {}",
                ended.err
            );
        }
    }
    let ended = fed(long.as_bytes(), &[]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.out.len() < 20_000, "long text is cut");
    let missing = parse(Path::new("/nonexistent/report.xml"), &[]);
    assert!(missing.code == Some(1) && missing.err.contains("report.xml"), "{}", missing.err);
}
