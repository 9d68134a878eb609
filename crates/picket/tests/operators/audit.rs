//! `picket audit`, with everything that somebody can do to a database, an export and a head.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::program::{Ended, Program};

/// A program whose organization has that many rows.
async fn start(rows: usize) -> Program {
    let program = Program::new().await;
    for number in 0..rows {
        let entry = json!({"at": "2026-01-15T14:30:00Z", "actor": "operator", "action": "scan.created", "n": number});
        let sql = "SELECT picket_audit($1, '2026-01-15T14:30:00Z', $2)";
        program.admin.query_one(sql, &[&program.organization.uuid(), &entry.to_string()]).await.unwrap();
    }
    program
}

impl Program {
    async fn tamper(&self, sql: &str) {
        let sql = format!("SET session_replication_role = replica; {sql}; SET session_replication_role = DEFAULT");
        self.admin.batch_execute(&sql).await.unwrap();
    }

    /// What a command prints, kept in a file.
    fn keep(&self, name: &str, command: &str) -> String {
        let text = self.run(&["audit", command, "--organization", &self.organization.to_string()]).good();
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn verify(&self, more: &[&str]) -> Ended {
        let organization = self.organization.to_string();
        self.run(&[&["audit", "verify", "--organization", organization.as_str()], more].concat())
    }
}

/// Demands a broken log; returns its first broken row.
#[track_caller]
fn broken(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(report["whole"], false);
    report["first_broken"].clone()
}

fn row(sequence: i64, why: &str) -> Value {
    json!({"sequence": sequence, "why": why})
}

#[tokio::test]
async fn a_whole_log_is_whole_by_database_and_by_file() {
    let program = start(12).await;
    let (head, export) = (program.keep("head.json", "head"), program.keep("log.jsonl", "export"));
    program.run(&["admin", "organization", "set-plan", &program.organization.to_string(), "starter"]).good();
    let report: Value = serde_json::from_str(&program.verify(&["--head", &head]).good()).unwrap();
    assert_eq!((&report["whole"], &report["checked"]), (&json!(true), &json!(13)));
    assert_eq!((&report["head"]["sequence"], &report["head_signature"]), (&json!(13), &json!("good")));
    let bare: Value = serde_json::from_str(&program.verify(&[]).good()).unwrap();
    assert_eq!(bare["head_signature"], Value::Null);
    // An auditor's machine has neither database nor key.
    let auditor = Program::run_bare(&["audit", "verify", "--file", &export, "--head", &head]).good();
    let report: Value = serde_json::from_str(&auditor).unwrap();
    assert_eq!((&report["checked"], &report["head_signature"]), (&json!(12), &json!("unchecked")));
    let report = program.run(&["audit", "verify", "--file", &export, "--head", &head]).good();
    assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["head_signature"], "good");
}

#[tokio::test]
async fn whatever_was_changed_in_the_database_is_named() {
    const CASES: &[(&str, i64, &str)] = &[
        (
            "UPDATE audit_log SET entry = replace(entry, 'scan.created', 'scan.stopped') WHERE sequence = 4",
            4,
            "altered",
        ),
        ("DELETE FROM audit_log WHERE sequence = 4", 4, "missing"),
        ("UPDATE audit_log SET at = now() WHERE sequence = 4", 4, "time_altered"),
        ("DELETE FROM audit_log WHERE sequence > 9", 10, "missing"),
        (
            "DELETE FROM audit_log WHERE sequence > 9; UPDATE organization_counters SET audit_sequence = 9,
             audit_hash = (SELECT hash FROM audit_log WHERE sequence = 9)",
            10,
            "missing",
        ),
        ("DELETE FROM audit_log; UPDATE organization_counters SET audit_sequence = 0, audit_hash = NULL", 1, "missing"),
    ];
    for (sql, sequence, why) in CASES {
        let program = start(12).await;
        let head = program.keep("head.json", "head");
        program.tamper(sql).await;
        let ended = program.verify(&["--head", &head]);
        assert_eq!(broken(&ended), row(*sequence, why), "{sql}");
        assert!(ended.err.contains(&format!("row {sequence}: ")), "{ended:?}");
    }
}

#[tokio::test]
async fn a_chain_that_was_written_anew_does_not_fit_the_exported_head() {
    let program = start(6).await;
    let head = program.keep("head.json", "head");
    program
        .tamper("DELETE FROM audit_log; UPDATE organization_counters SET audit_sequence = 0, audit_hash = NULL")
        .await;
    for _ in 0..8 {
        let sql = "SELECT picket_audit($1, '2026-01-15T14:30:00Z', $2)";
        let entry = json!({"at": "2026-01-15T14:30:00Z", "actor": "operator", "action": "scan.stopped"}).to_string();
        program.admin.query_one(sql, &[&program.organization.uuid(), &entry]).await.unwrap();
    }
    program.verify(&[]).good();
    assert_eq!(broken(&program.verify(&["--head", &head])), row(6, "head_differs"));
}

#[tokio::test]
async fn whatever_was_changed_in_a_file_is_named() {
    let program = start(8).await;
    let (head, export) = (program.keep("head.json", "head"), program.keep("log.jsonl", "export"));
    let lines: Vec<String> = fs::read_to_string(&export).unwrap().lines().map(ToOwned::to_owned).collect();
    let verify = |lines: &[String]| {
        fs::write(&export, lines.join("\n")).unwrap();
        Program::run_bare(&["audit", "verify", "--file", &export, "--head", &head])
    };
    assert_eq!(verify(&lines).code, Some(0));
    assert_eq!(broken(&verify(&lines[..5])), row(6, "missing"));
    assert_eq!(broken(&verify(&[])), row(1, "missing"));
    let removed = [&lines[..2], &lines[3..]].concat();
    assert_eq!(broken(&verify(&removed)), row(3, "missing"));
    let mut edited = lines.clone();
    edited[6] = edited[6].replace("scan.created", "scan.stopped");
    assert_eq!(broken(&verify(&edited)), row(7, "altered"));
    let mut swapped = lines;
    swapped.swap(0, 1);
    assert_eq!(broken(&verify(&swapped)), row(1, "missing"));
}

#[tokio::test]
async fn a_head_that_nobody_signed_is_no_head() {
    let program = start(8).await;
    let head = program.keep("head.json", "head");
    let mut forged: Value = serde_json::from_str(&fs::read_to_string(&head).unwrap()).unwrap();
    forged["at"] = json!("2030-01-01T00:00:00Z");
    fs::write(&head, forged.to_string()).unwrap();
    let ended = program.verify(&["--head", &head]);
    assert_eq!((ended.code, broken(&ended)), (Some(1), Value::Null));
    assert!(ended.err.contains("not signed"), "{ended:?}");
}

#[tokio::test]
async fn what_cannot_be_checked_is_neither_whole_nor_broken() {
    let program = start(1).await;
    let head = program.keep("head.json", "head");
    for arguments in [
        vec!["audit", "verify"],
        vec!["audit", "verify", "--organization", "org_00000000000000000000000001"],
        vec!["audit", "verify", "--organization", "org_00000000000000000000000001", "--head", &head],
        vec!["audit", "verify", "--file", "/nowhere/log.jsonl"],
        vec!["audit", "verify", "--file", &head],
    ] {
        let ended = program.run(&arguments);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{arguments:?} {ended:?}");
    }
    let bare = Program::run_bare(&["audit", "verify", "--organization", "org_00000000000000000000000001"]);
    assert_eq!(bare.code, Some(2), "without a database: {bare:?}");
}

#[tokio::test]
async fn the_heads_of_all_organizations_are_written_into_a_folder() {
    let program = start(3).await;
    let stranger = picket_testkit::seed::organization(&program.database, picket_domain::Subscription::Trial).await;
    let folder: PathBuf = program.folder.join("heads");
    let write = || program.run(&["audit", "heads", "--folder", folder.to_str().unwrap()]).good();
    assert_eq!(write(), format!("2 heads written to {}\n", folder.display()));
    write();
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    let mut expected = [program.organization, stranger].map(|id| std::ffi::OsString::from(format!("{id}.json")));
    expected.sort();
    assert_eq!(names, expected);
    let head = folder.join(format!("{}.json", program.organization));
    program.verify(&["--head", head.to_str().unwrap()]).good();
    let empty = folder.join(format!("{stranger}.json"));
    let other =
        program.run(&["audit", "verify", "--organization", &stranger.to_string(), "--head", empty.to_str().unwrap()]);
    other.good();
}
