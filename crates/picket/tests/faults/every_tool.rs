//! Stop and pause, on every tool that is installed here: real tools in real sandboxes, against a service that never comes to
//! an end, and nobody tells the worker.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use picket_domain::{NewScan, NewTask, TaskId};
use picket_kit::Clock;
use picket_testkit::seed;
use serde_json::{Value, json};

use crate::{
    process::{Role, Seen, alive, eventually},
    service::Service,
    stage::{LONG, Stage},
    stop::STOPPED,
};

/// A listening service that answers in whatever is spoken to it, a byte every 200 ms, for as long as anybody listens: no
/// time-out between two bytes ends a tool.
fn dripping() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // One that the tool has hung up is no concern of ours.
            thread::spawn(move || drip(stream).unwrap_or_default());
        }
    });
    port
}

fn drip(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(300)))?;
    let mut first = [0_u8; 1];
    let begins: &[u8] = match stream.read(&mut first) {
        // A record of a handshake that is 16 KiB long (RFC 8446, 5.1).
        Ok(1) if first == [0x16] => b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc",
        Ok(1) if first != *b"S" => b"HTTP/1.1 200 OK\r\nServer: ",
        _ => b"SSH-2.0-",
    };
    stream.write_all(begins)?;
    loop {
        thread::sleep(Duration::from_millis(200));
        stream.write_all(b"a")?;
    }
}

/// The tool, its parameters for a port, and what its processes are called.
fn tools(port: u16) -> Vec<(&'static str, Value, &'static str)> {
    let root = picket_kit::environment("PICKET_TOOLS_ROOT").expect("the roots of tools");
    let all = [
        ("nmap", json!({"scan_type": "-sT -sV", "ports": port.to_string(), "timing": 3}), "nmap"),
        ("sslscan", json!({"port": port}), "sslscan"),
        ("testssl", json!({"port": port, "checks": ["protocols"]}), "testssl"),
        ("whatweb", json!({"port": port, "tls": false}), "whatweb"),
        ("wapiti", json!({"port": port, "tls": false}), "wapiti"),
        ("ssh-audit", json!({"port": port}), "ssh-audit"),
        ("ffuf", json!({"port": port, "tls": false}), "ffuf"),
        ("sslyze", json!({"port": port}), "sslyze"),
        ("wafw00f", json!({"port": port, "tls": false}), "wafw00f"),
    ];
    let is_there = |slug: &str| {
        let is_there = std::path::Path::new(&root).join(slug).is_dir();
        if !is_there {
            println!("no {slug} below PICKET_TOOLS_ROOT: not tried");
        }
        is_there
    };
    all.into_iter().filter(|(slug, ..)| is_there(slug)).collect()
}

impl Stage {
    /// A stored scan of these tools.
    async fn scan_with(&self, tools: &[(&'static str, Value, &'static str)]) -> NewScan {
        let mut scan = seed::scan(self.organization, 1);
        let shard = scan.tasks.remove(0).shard;
        for (slug, params, _) in tools {
            let tool = picket_scanners::find(slug).unwrap();
            let shape = tool.shapes(Some(params)).unwrap().pop().unwrap();
            let (id, shard) = (TaskId::mint(Clock::system().now()), shard.clone());
            let (needs, params) = (shape.needs, shape.params.clone());
            scan.tasks.push(NewTask { id, tool: tool.slug(), needs, params, shard, opens: Vec::new() });
        }
        self.store(&scan).await;
        scan
    }
}

/// The processes of a tool below a worker, those that wrap it among them.
fn of(worker: &Role, name: &str) -> Vec<Seen> {
    worker.descendants().into_iter().filter(|one| one.command.contains(name)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_of_which_nobody_was_told_ends_every_tool_that_there_is() {
    let stage = Stage::new().await;
    let tools = tools(dripping());
    let _steward = stage.start("steward", &[]);
    let settings = [("PICKET_WORKER__SLOTS", "1"), ("PICKET_WORKER__POOLS", "[net,tls,web]")];
    let worker = stage.start_worker(226_000, &settings);
    for one in &tools {
        let (slug, name) = (one.0, one.2);
        let scan = stage.scan_with(std::slice::from_ref(one)).await;
        let (_, began) = eventually(slug, LONG, async || (!of(&worker, name).is_empty()).then_some(())).await;
        // It is at work: what a tool starts is there, too.
        let family = of(&worker, name);
        // By hand, so that no message and no hint goes out.
        let cancelled = format!(
            "UPDATE tasks SET state = 'cancelled', gap = 'cancelled', ended_at = now(), lease_until = NULL
             WHERE scan_id = '{0}';
             UPDATE scans SET state = 'cancelled', ended_at = now() WHERE id = '{0}'",
            scan.id.uuid()
        );
        let stopped = Instant::now();
        stage.execute(&cancelled).await;
        let gone = format!("the end of {slug}");
        eventually(&gone, STOPPED, async || (alive(&family).is_empty() && of(&worker, name).is_empty()).then_some(()))
            .await;
        println!("{slug}: seen {began:?} after its scan was made, gone {:?} after the stop", stopped.elapsed());
        assert_eq!(stage.state(&scan).await, "cancelled", "{slug}");
        let row = stage.row("SELECT attempt, state FROM tasks WHERE scan_id = $1", &[&scan.id.uuid()]).await;
        assert_eq!((row.get(0), row.get(1)), (1, "cancelled"), "{slug}: ended by the stop");
    }
    // Its slot is free after all of them, and what it runs then is done in full.
    let service = Service::quick();
    let next = stage.scan(&service).await;
    stage.await_state(&next, "completed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_is_paused_while_its_tool_runs_and_completes_after_it_was_resumed() {
    let (stage, service) = (Stage::new().await, Service::silent());
    let tools: Vec<_> = tools(service.port).into_iter().filter(|one| one.0 == "nmap").collect();
    let both = [tools.clone(), tools].concat();
    let _steward = stage.start("steward", &[]);
    let _worker = stage.start_worker(227_000, &[("PICKET_WORKER__SLOTS", "1")]);
    let scan = stage.scan_with(&both).await;
    let running = "SELECT count(*) FROM tasks WHERE scan_id = $1 AND state = 'running'";
    let begun = "SELECT count(*) FROM tasks WHERE scan_id = $1 AND started_at IS NOT NULL";
    let count = async |sql: &str| stage.row(sql, &[&scan.id.uuid()]).await.get::<_, i64>(0);
    eventually("the first task runs", LONG, async || (count(running).await == 1).then_some(())).await;
    stage.control(&scan, true).await;
    let before = count(begun).await;
    service.speak();
    eventually("what ran has ended", LONG, async || (count(running).await == 0).then_some(())).await;
    assert_eq!((stage.state(&scan).await.as_str(), count(begun).await), ("paused", before), "the rest is held");
    stage.control(&scan, false).await;
    stage.await_state(&scan, "completed").await;
    let done = "SELECT count(*) FROM tasks WHERE scan_id = $1 AND state = 'done' AND gap IS NULL";
    assert_eq!(count(done).await, 2, "it goes on from the first unfinished task");
}
