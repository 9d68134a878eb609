//! Real tools against services of ours on the loopback: the command line that the adapter writes, in the tool's own root,
//! and what the parser makes of its report. A tool without a root is skipped with a message (`PICKET_TOOLS`).
//!
//! bwrap is started here and not through `picket-sandbox`, whose own tests prove its walls: what is tried is that command
//! line, root and parser fit each other.

mod services;

use std::{
    fs,
    io::BufReader,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use picket_domain::{Invocation, Observation, Shard, ToolOutput};
use picket_scanners::{Context, Parsed, find};
use picket_testkit::{optional, required};
use serde_json::{Value, json};

/// What a run gave.
struct Ran {
    parsed: Parsed,
    seen: Vec<Observation>,
    is_ok: bool,
}

impl Ran {
    fn rules(&self) -> Vec<&str> {
        self.seen.iter().map(|seen| seen.rule.as_str()).collect()
    }
}

/// Runs a tool against a port of the loopback; nothing, with a message, when its root was not built.
fn run(slug: &str, params: &Value) -> Option<Ran> {
    let root = PathBuf::from(required("PICKET_TOOLS_ROOT")).join(slug);
    if !root.is_dir() {
        println!("skipped: there is no root of {slug}; build it with PICKET_TOOLS={slug}");
        return None;
    }
    let version = fs::read_to_string(root.with_file_name(format!("{slug}.version"))).unwrap_or_default();
    let tool = find(slug).unwrap();
    let shapes = tool.shapes(Some(params)).unwrap();
    let shard = Shard { target: "127.0.0.1".to_owned(), addresses: vec![[127, 0, 0, 1].into()], hosts: Vec::new() };
    let invocation = tool.invocation(&shapes[0].params, &shard).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let ran = in_root(&root, scratch.path(), &invocation).output().unwrap();
    let report = match invocation.output {
        ToolOutput::Stdout => ran.stdout,
        ToolOutput::File(path) => {
            fs::read(scratch.path().join(path.trim_start_matches("/scratch/"))).unwrap_or_default()
        }
    };
    let mut seen = Vec::new();
    let parsed = tool.parse(&mut BufReader::new(report.as_slice()), &Context::default(), &mut |one| seen.push(one));
    println!(
        "{slug} {}: {:?}, {} observations, {:?} {}",
        version.trim(),
        ran.status.code(),
        seen.len(),
        parsed.gap,
        parsed.reason
    );
    println!("{}", String::from_utf8_lossy(&ran.stderr).lines().take(5).collect::<Vec<_>>().join("\n"));
    Some(Ran { parsed, seen, is_ok: ran.status.code().is_some_and(|code| tool.exit_is_ok(code)) })
}

fn in_root(root: &Path, scratch: &Path, invocation: &Invocation) -> Command {
    let mut command = Command::new(optional("PICKET_BWRAP").unwrap_or_else(|| "bwrap".to_owned()));
    command.args([
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
    ]);
    command.arg("--ro-bind").arg(root).args(["/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--bind"]);
    command.arg(scratch).args([
        "/scratch",
        "--clearenv",
        "--setenv",
        "PATH",
        "/usr/bin",
        "--setenv",
        "HOME",
        "/scratch",
    ]);
    command.args(["--setenv", "LANG", "C.UTF-8", "--chdir", "/scratch", "--", invocation.program]);
    command.args(&invocation.args).stdin(Stdio::null());
    command
}

/// Asserts a run that ended well and saw an expired, self-signed certificate, where the tool looks at certificates.
fn sees_the_certificate(slug: &str, params: &Value) {
    let Some(ran) = run(slug, params) else { return };
    assert!(ran.is_ok && ran.parsed.is_complete(), "{slug}: {:?}", ran.parsed);
    for rule in ["tls.certificate_expired", "tls.certificate_self_signed"] {
        assert!(ran.rules().contains(&rule), "{slug}: {rule} is not among {:?}", ran.rules());
    }
    let older = ["tls.weak_protocol.tlsv1.0", "tls.weak_cipher.rc4", "tls.heartbleed", "tls.no_tls13"];
    assert!(!older.iter().any(|rule| ran.rules().contains(rule)), "{slug}: {:?}", ran.rules());
}

#[test]
fn sslscan_sees_what_is_wrong_with_a_certificate() {
    sees_the_certificate("sslscan", &json!({ "port": services::tls() }));
}

#[test]
fn sslyze_sees_what_is_wrong_with_a_certificate() {
    sees_the_certificate("sslyze", &json!({ "port": services::tls() }));
}

#[test]
fn testssl_sees_what_is_wrong_with_a_certificate() {
    sees_the_certificate("testssl", &json!({ "port": services::tls(), "checks": ["certificate"] }));
}

#[test]
fn nmap_sees_what_is_wrong_with_a_certificate() {
    let port = services::tls().to_string();
    sees_the_certificate("nmap", &json!({ "scan_type": "-sT -sV", "ports": port, "scripts": ["ssl-cert"] }));
}

#[test]
fn ssh_audit_names_weak_algorithms() {
    let Some(ran) = run("ssh-audit", &json!({ "port": services::ssh() })) else { return };
    assert!(ran.is_ok && ran.parsed.is_complete(), "{:?}", ran.parsed);
    let subjects: Vec<(&str, &str)> = ran.seen.iter().map(|seen| (seen.rule.as_str(), seen.subject.as_str())).collect();
    for expected in [
        ("ssh.weak_cipher", "3des-cbc"),
        ("ssh.weak_key_exchange", "diffie-hellman-group1-sha1"),
        ("ssh.weak_mac", "hmac-md5"),
        ("ssh.weak_host_key_algorithm", "ssh-rsa"),
    ] {
        assert!(subjects.contains(&expected), "{expected:?} is not among {subjects:?}");
    }
}

#[test]
fn a_service_that_hangs_up_is_never_called_clean() {
    let port = services::hanging_up();
    for (slug, params) in [
        ("sslscan", json!({ "port": port })),
        ("sslyze", json!({ "port": port })),
        ("testssl", json!({ "port": port, "checks": ["protocols"] })),
        ("ssh-audit", json!({ "port": port })),
    ] {
        if let Some(ran) = run(slug, &params) {
            assert!(!ran.parsed.is_complete() && ran.seen.is_empty(), "{slug}: {:?} {:?}", ran.parsed, ran.rules());
        }
    }
}
