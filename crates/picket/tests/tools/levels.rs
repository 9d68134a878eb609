//! Every tool at every level that the machine proves: the way to the target is another one each time, and what is found is
//! the same.

use std::thread;

use picket_domain::SandboxLevel;
use serde_json::{Value, json};

use crate::{node, room::Room, services, shop};

/// Each tool with a service that it finds something of (wafw00f: that nothing stands before it), and little to do.
fn plans() -> Vec<(&'static str, Value)> {
    let (tls, ssh, shop) = (services::tls(), services::ssh(), shop::open());
    vec![
        ("ffuf", json!({ "port": shop, "rate": 50 })),
        ("nmap", json!({ "scan_type": "-sT -sV", "ports": tls.to_string(), "scripts": ["ssl-cert"] })),
        ("ssh-audit", json!({ "port": ssh })),
        ("sslscan", json!({ "port": tls })),
        ("sslyze", json!({ "port": tls })),
        ("testssl", json!({ "port": tls, "checks": ["certificate"] })),
        ("wafw00f", json!({ "port": shop })),
        ("wapiti", json!({ "port": shop, "max_scan_time": 60, "modules": ["cookieflags", "http_headers"] })),
        ("whatweb", json!({ "port": shop, "aggression": 3 })),
    ]
}

#[test]
fn every_tool_finds_the_same_at_every_level() {
    // The strongest level needs a helper: once where there is one, and else with what there is.
    if !node::is_here() {
        let tests =
            ["levels::every_tool_finds_the_same_at_every_level", "o3::a_site_that_leads_elsewhere_leads_no_tool_there"];
        if let Some(output) = node::with_a_helper(&tests) {
            println!("{}", String::from_utf8_lossy(&output.stdout));
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            return;
        }
    }
    for (slug, params) in plans() {
        let Some(room) = Room::with(slug) else { continue };
        let levels = room.levels();
        assert!(!node::is_here() || levels.contains(&SandboxLevel::L0), "there is a helper: {levels:?}");
        let all: Vec<_> = thread::scope(|scope| {
            let start = |level: &SandboxLevel| {
                let (room, params, level) = (&room, &params, *level);
                scope.spawn(move || (level, room.run_whole(level, slug, params)))
            };
            let runs: Vec<_> = levels.iter().map(start).collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        for (level, ran) in &all {
            println!("{slug} at {}: {} findings in {:?}", level.name(), ran.findings().len(), ran.outcome.wall);
            assert!(ran.is_well && ran.parsed.is_complete(), "{slug} at {}: {}", level.name(), ran.told());
            assert_eq!(ran.seen.is_empty(), slug == "wafw00f", "{slug} at {}: {}", level.name(), ran.told());
            let (first, other) = (all[0].1.findings(), ran.findings());
            let differences: Vec<_> = first.symmetric_difference(&other).collect();
            assert!(differences.is_empty(), "{slug} at {}: {differences:#?}", level.name());
        }
    }
}
