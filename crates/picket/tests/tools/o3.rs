//! Web tools against sites that mean harm (case O3): each run ends in bounded time, says that it saw not all, and goes
//! nowhere else.

use std::{sync::atomic::Ordering, thread, time::Duration};

use picket_domain::SandboxLevel;
use picket_sandbox::{End, Outcome};
use serde_json::{Value, json};

use crate::{
    hostile::{self, Site},
    node,
    room::{Ran, Room},
};

/// Enough to begin, and what a machine needs that is busy.
const WALLS: [Duration; 2] = [Duration::from_secs(8), Duration::from_secs(40)];
/// Enough to end: ffuf tries its whole list of paths.
const WHOLE: Duration = Duration::from_secs(60);

const ALL: [&str; 3] = ["whatweb", "ffuf", "wapiti"];

fn tools(port: u16) -> [(&'static str, Value); 3] {
    [
        ("whatweb", json!({ "port": port, "aggression": 3 })),
        ("ffuf", json!({ "port": port, "rate": 50 })),
        ("wapiti", json!({ "port": port, "max_scan_time": 60, "modules": ["http_headers", "redirect"] })),
    ]
}

/// Runs every tool against a site of its own, all at once; with the next wall when it asked for nothing before the last.
fn all(
    slugs: &[&'static str],
    level: Option<SandboxLevel>,
    walls: &[Duration],
    site: impl Fn() -> Site + Sync,
) -> Vec<(&'static str, Ran)> {
    thread::scope(|scope| {
        let start = |slug: &&'static str| {
            let (site, slug) = (&site, *slug);
            scope.spawn(move || {
                let room = Room::with(slug)?;
                let level = level.unwrap_or_else(|| room.levels()[0]);
                let ran = walls.iter().find_map(|wall| against(&site(), &room, level, slug, *wall));
                let ran = ran.unwrap_or_else(|| panic!("{slug} asked for nothing"));
                assert!(ran.outcome.output_bytes <= ran.output_bytes && !ran.outcome.truncated, "{slug}");
                Some((slug, ran))
            })
        };
        let runs: Vec<_> = slugs.iter().map(start).collect();
        runs.into_iter().filter_map(|run| run.join().unwrap()).collect()
    })
}

/// One run; nothing when it asked for nothing.
fn against(site: &Site, room: &Room, level: SandboxLevel, slug: &'static str, wall: Duration) -> Option<Ran> {
    let (_, params) = tools(site.port).into_iter().find(|(one, _)| *one == slug)?;
    let ran = room.run_at(level, slug, &params, Some(wall));
    let Outcome { end, wall, output_bytes, dropped_packets, .. } = &ran.outcome;
    let (level, found, gap) = (level.name(), ran.seen.len(), ran.parsed.gap);
    println!(
        "{slug} at {level}: {end:?} after {wall:?}, {output_bytes} bytes, {found} findings, {gap:?}, {dropped_packets:?} dropped"
    );
    (site.visits.load(Ordering::Relaxed) > 0).then_some(ran)
}

#[test]
fn a_page_that_drips_or_never_ends_ends_with_a_limit() {
    for site in [hostile::dripping, hostile::endless] {
        for (slug, ran) in all(&ALL, None, &WALLS, site) {
            // On a machine that is quick enough what never ends fills the memory of a run first.
            let told = &ran.outcome.stderr;
            let is_out_of_memory =
                ["out of memory", "MemoryError", "failed to allocate memory"].iter().any(|one| told.contains(one));
            let is_stopped = ran.outcome.end == End::TimedOut || !ran.is_well && is_out_of_memory;
            assert!(is_stopped, "{slug}: {:?} {}", ran.outcome.end, ran.outcome.stderr);
            assert!(!ran.parsed.is_complete() && ran.seen.is_empty(), "{slug}: {}", ran.told());
            assert!(ran.outcome.dropped_packets.unwrap_or(0) == 0, "{slug} spoke to others");
        }
    }
}

/// Whoever unpacks it comes to its limit of memory, or of time.
#[test]
fn a_page_that_unpacks_to_a_gigabyte_ends_with_a_limit() {
    for (slug, ran) in all(&ALL, None, &WALLS, hostile::bomb) {
        assert!(!(ran.is_well && ran.parsed.is_complete()) && ran.seen.is_empty(), "{slug}: {}", ran.told());
        let says_why =
            ran.outcome.end == End::TimedOut || !ran.outcome.stderr.is_empty() || !ran.parsed.reason.is_empty();
        assert!(says_why, "{slug}: {:?}", ran.outcome);
    }
}

#[test]
fn a_site_that_leads_in_circles_is_left_in_time() {
    for (slug, ran) in all(&ALL, None, &[WHOLE], hostile::looping) {
        assert!(ran.is_well, "{slug}: {:?}", ran.outcome);
        assert!(ran.seen.len() <= 1, "what answered is no more than a redirect: {slug}: {}", ran.told());
        assert_eq!(ran.outcome.dropped_packets.unwrap_or(0), 0, "{slug} spoke to others");
    }
}

/// At each level; with a network helper at its own alone, since the others are tried without one. Wapiti's checks of headers
/// follow any redirect: where runs have a network of their own that is stopped, and counted; at level L2 it is for the network
/// around the worker to stop, so there it is not among them.
#[test]
fn a_site_that_leads_elsewhere_leads_no_tool_there() {
    let Some(room) = Room::with("whatweb") else { return };
    let levels = if node::is_here() { vec![SandboxLevel::L0] } else { room.levels().to_vec() };
    for level in levels {
        let trap = hostile::trap();
        let is_shared = level == SandboxLevel::L2;
        let places = if is_shared {
            // Another door of the same machine, by all its names.
            let hosts = ["127.0.0.1", "127.0.0.2", "[::ffff:127.0.0.1]", "localhost", "2130706433"];
            hosts.map(|host| format!("http://{host}:{}/in", trap.port)).to_vec()
        } else {
            // The same door as a run at level L1 would see it, a metadata service, and somebody else.
            let inward = format!("http://10.0.2.2:{}/in", trap.port);
            vec![inward, "http://169.254.169.254/latest/meta-data/".to_owned(), "http://192.0.2.7/".to_owned()]
        };
        let slugs = if is_shared { &ALL[..2] } else { &ALL };
        for (slug, ran) in all(slugs, Some(level), &[WHOLE], || hostile::leading_to(places.clone())) {
            assert!(ran.is_well, "{slug}: {:?}", ran.outcome);
            let is_counted = ran.outcome.dropped_packets.is_some_and(|count| count > 0);
            assert_eq!(is_counted, slug == "wapiti", "{slug} at {}: {:?}", level.name(), ran.outcome);
        }
        assert_eq!(trap.visits.load(Ordering::Relaxed), 0, "somebody came at {}", level.name());
    }
}
