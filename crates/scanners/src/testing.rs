//! What the tests of tools share: reading samples and the corpus, and the hostile cases that every tool must refuse.

use std::{fs, net::IpAddr, path::Path};

use picket_domain::{Observation, PinnedHost, Shard, ToolOutput};
use serde_json::{Value, json};

use crate::{Context, Format, Head, Parsed, Tool, recognize};

/// What a format reads.
pub(crate) fn read(format: &dyn Format, input: &[u8]) -> (Parsed, Vec<Observation>) {
    let mut seen = Vec::new();
    let parsed = format.parse(&mut &*input, &Context::default(), &mut |observation| seen.push(observation));
    assert_eq!(parsed.observations, u64::try_from(seen.len()).unwrap());
    (parsed, seen)
}

/// A file of the corpus beside the project, or `None` with a message where there is none.
pub(crate) fn corpus(name: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus").join(name);
    let bytes = fs::read(&path).ok();
    if bytes.is_none() {
        println!("skipped: there is no {}", path.display());
    }
    bytes
}

/// Reads a file of the corpus, which this very format must claim.
pub(crate) fn corpus_read(format: &dyn Format, name: &str) -> Option<(Parsed, Vec<Observation>)> {
    let bytes = corpus(name)?;
    let claimed = recognize(&Head::new(&bytes, true)).map(|format| (format.tool(), format.name()));
    assert_eq!(claimed, Some((format.tool(), format.name())), "{name}");
    Some(read(format, &bytes))
}

/// Rule, path and subject of each, for comparison.
pub(crate) fn brief(observations: &[Observation]) -> Vec<(String, String, String)> {
    let path = |observation: &Observation| {
        let url = observation.location.url.clone().unwrap_or_default();
        url.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap_or_default()
    };
    observations.iter().map(|one| (one.rule.clone(), path(one), one.subject.clone())).collect()
}

/// A shard of one address, with its name.
pub(crate) fn shard() -> Shard {
    let address: IpAddr = [192, 0, 2, 1].into();
    let hosts = vec![PinnedHost { name: "www.example.com".to_owned(), address }];
    Shard { target: "www.example.com".to_owned(), addresses: vec![address], hosts }
}

/// The command line that parameters become.
pub(crate) fn args(tool: &dyn Tool, params: &Value) -> Vec<String> {
    let shapes = tool.shapes(Some(params)).unwrap();
    assert_eq!(shapes.len(), 1, "{shapes:?}");
    assert_eq!(tool.shapes(Some(&shapes[0].params)).unwrap(), shapes, "canonical parameters are read as themselves");
    tool.invocation(&shapes[0].params, &shard()).unwrap().args
}

/// Refused when a client sends it, and again when it comes from the queue.
pub(crate) fn refused(tool: &dyn Tool, params: &Value, field: &str) {
    let error = tool.shapes(Some(params)).expect_err(&params.to_string());
    assert_eq!(error.field, field, "{params} {error}");
    assert_eq!(tool.invocation(params, &shard()).unwrap_err(), error);
}

/// The hostile cases that are the same for every tool which looks at a web site.
pub(crate) fn refuses_hostile_parameters(tool: &dyn Tool) {
    for params in [json!(null), json!("-x"), json!([]), json!(1), json!(true)] {
        refused(tool, &params, "parameters");
    }
    // A19: headers, cookies and credentials do not exist; A22: nor does the environment.
    for name in [
        "headers", "header", "cookie", "cookies", "env", "proxy", "args", "options", "url", "target", "host", "config",
        "output",
    ] {
        refused(tool, &json!({ name: "x\r\nHost: evil" }), &format!("parameters.{name}"));
    }
    refused(tool, &json!({ "x".repeat(1 << 20): 1 }), &format!("parameters.{}", "x".repeat(64)));
    for port in [json!("80"), json!(0), json!(65_536), json!(-1), json!(80.5), json!([80]), json!("80 -x")] {
        refused(tool, &json!({ "port": port }), "parameters.port");
    }
    for tls in [json!("yes"), json!(1), json!([])] {
        refused(tool, &json!({ "tls": tls }), "parameters.tls");
    }
    let long = format!("/{}", "a".repeat(300));
    for path in [
        "",
        "x",
        "-x",
        "/a b",
        "/a;id",
        "/$(id)",
        "/../etc/passwd",
        "//evil",
        "/a?b",
        "/a#b",
        "/a\n",
        "/\0",
        "/ü",
        "/a%20b",
        "/FUZZ{}",
        "@",
        &long,
    ] {
        refused(tool, &json!({ "path": path }), "parameters.path");
    }
}

/// What holds for the command line of every tool, whatever its parameters are.
pub(crate) fn writes_plain_arguments(tool: &dyn Tool, params: &Value) {
    let invocation = tool.invocation(&tool.shapes(Some(params)).unwrap()[0].params, &shard()).unwrap();
    assert!(
        invocation.args.iter().all(|arg| !arg.is_empty() && arg.bytes().all(|byte| byte.is_ascii_graphic())),
        "{:?}",
        invocation.args
    );
    assert_eq!(invocation.egress.addresses, shard().addresses);
    assert_eq!(invocation.egress.ports.len(), 1);
    assert_eq!(invocation.hosts, shard().hosts);
    assert!(invocation.program.starts_with("/usr/bin/"));
    assert!(invocation.input_files.iter().all(|file| file.path.starts_with("/input/")));
    if let ToolOutput::File(path) = invocation.output {
        assert!(path.starts_with("/scratch/"));
    }
}

/// No cut of a sample is complete, and each says why.
pub(crate) fn is_never_complete_when_cut(format: &dyn Format, sample: &[u8]) {
    let whole = sample.trim_ascii_end().len();
    assert!(read(format, sample).0.is_complete(), "the sample is whole");
    for length in (0..whole).step_by((whole / 300).max(1)).chain([whole - 1]) {
        let (parsed, _) = read(format, &sample[..length]);
        assert!(!parsed.is_complete(), "cut at {length}");
        assert!(!parsed.reason.is_empty());
    }
}
