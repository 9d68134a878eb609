//! A tool that speaks to somebody whom its task does not name: the packets are dropped, and the log, the worker's row and its
//! metrics say how many they were. The tool is a program of the test in nmap's place.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use crate::{
    process::eventually,
    service::Service,
    stage::{LONG, Stage},
};

/// A folder of tools whose nmap is that program.
fn tools(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    let root = folder.join("nmap");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    for place in picket_sandbox::MOUNT_POINTS {
        match place.strip_prefix("etc/") {
            Some(_) => fs::write(root.join(place), "").unwrap(),
            None => fs::create_dir(root.join(place)).unwrap(),
        }
    }
    fs::write(root.join("etc/passwd"), "tool:x:65534:65534::/scratch:/\n").unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/stray.c");
    let compiled = Command::new("cc")
        .args(["-static", "-O1", "-Wall", "-Wextra", "-o"])
        .args([root.join("usr/bin/nmap"), source])
        .status()
        .expect("a C compiler `cc` with a static C library is needed");
    assert!(compiled.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_sends_to_others_is_dropped_and_told_by_log_row_and_metric() {
    if picket_kit::environment("PICKET_SLIRP").is_none() {
        println!("skipped: PICKET_SLIRP is not set");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    tools(folder.path());
    let (stage, service) = (Stage::new().await, Service::quick());
    let _steward = stage.start("steward", &[]);
    let settings = [
        ("PICKET_TOOLS_ROOT", folder.path().to_str().unwrap()),
        ("PICKET_WORKER__SANDBOX_LEVEL_MIN", "L1"),
        ("PICKET_WORKER__SANDBOX_EXTERNAL_EGRESS", "unknown"),
        ("PICKET_WORKER__HEARTBEAT_MS", "500"),
        ("PICKET_WORKER__PREPARED_SLOTS", "0"),
    ];
    let worker = stage.start_worker(224_000, &settings);
    let scan = stage.scan(&service).await;
    let (line, _) = eventually("the end of the run", LONG, async || worker.line("a tool ended")).await;
    assert_eq!(line["dropped_packets"], 3, "{line}");
    stage.await_state(&scan, "completed").await;
    let row = "SELECT level FROM workers WHERE dropped_packets = 3";
    let (row, _) = eventually("the worker's row", LONG, async || stage.rows(row, &[]).await.pop()).await;
    assert_eq!(row.get::<_, String>(0), "L1");
    let told = async || {
        let [port] = worker.ports()[..] else { return None };
        let text = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.ok()?.text().await.ok()?;
        let has = |line: &str| text.lines().any(|one| one == line);
        (has("picket_sandbox_dropped_packets_total 3") && has("picket_sandbox_level{level=\"L1\"} 1")).then_some(())
    };
    eventually("the metrics", LONG, told).await;
}
