//! A worker's whole way with tasks of names, against a real database and a DNS server of ours: no tool runs, and nobody is
//! called but what listens on loopback.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use picket_domain::{
    AdmissionLimits, AllowList, DenyList, EventBody, Grounds, NewScan, OrganizationId, Plan, Pool, Subscription,
};
use picket_kit::{Clock, Shutdown};
use picket_outbound::{OutboundSettings, Resolver};
use picket_planner::{Planner, ScanOptions};
use picket_sandbox::{Sandbox, SandboxSettings};
use picket_store::{
    Db, DbSettings, events,
    halts::{self, Halt, HaltBy, HaltScope},
    scans,
    tasks::{admission, lease},
    workers,
};
use picket_testkit::{Database, Dns, seed};

use super::*;
use crate::{
    WorkerSettings, artifact::Keeper, claims::Claims, ends::Ends, leases::Leases, patience::Patience, story::Teller,
};

const NAME: &str = "example.com";

struct Stage {
    database: Database,
    db: Db,
    organization: OrganizationId,
    dns: Dns,
    clock: Clock,
    worker: picket_domain::WorkerId,
    execution: Execution,
    _folder: tempfile::TempDir,
}

fn planner(dns: &Dns) -> Planner {
    let outbound = OutboundSettings { name_servers: vec![dns.address], ..OutboundSettings::default() };
    let list = AllowList::parse(&[NAME.to_owned(), format!("*.{NAME}"), "127.0.0.1".to_owned()]).unwrap();
    Planner::new(&BTreeMap::new(), Resolver::new(&outbound).unwrap(), list)
}

impl Stage {
    async fn begin() -> Self {
        let (database, dns, clock) = (Database::new().await, Dns::start().await, Clock::system());
        let db = DbSettings { url: database.url(), max_connections: 8, wait: Duration::from_secs(30) };
        let db = Db::new(&db).unwrap();
        let organization = seed::organization(&database, Subscription::Enterprise).await;
        let worker = picket_domain::WorkerId::mint(clock.now());
        let beat = workers::WorkerBeat {
            id: worker,
            pools: vec![Pool::Net, Pool::Web, Pool::Tls],
            level: SandboxLevel::L2,
            tools: Vec::new(),
            slots: 100,
            busy: 0,
            tasks_per_second: 0.0,
            draining: false,
            proof: workers::WorkerProof::default(),
        };
        db.operate("test", async |tx| workers::beat(tx, &beat).await).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let execution = Execution {
            db: db.clone(),
            clock: clock.clone(),
            sandbox: Arc::new(sandbox(folder.path())),
            settings: WorkerSettings::default(),
            leases: Arc::new(Leases::default()),
            dropped_packets: Arc::new(AtomicU64::new(0)),
            ended_runs: Arc::new(AtomicU64::new(0)),
            teller: Teller { db: db.clone(), clock: clock.clone(), live: None },
            keeper: Keeper {
                db: db.clone(),
                clock: clock.clone(),
                blobs: None,
                most_bytes: 0,
                row_bytes: 0,
                patience: Patience::new(Shutdown::new()),
            },
            ends: Ends::new(db.clone(), clock.clone()),
            claims: Claims::new(db.clone(), clock.clone()),
            planner: Arc::new(planner(&dns)),
        };
        Self { database, db, organization, dns, clock, worker, execution, _folder: folder }
    }

    fn asker(&self) -> Asker {
        Asker {
            organization_id: self.organization,
            subscription: Subscription::Enterprise,
            requested_by: "usr_test".to_owned(),
            grounds: Grounds::default(),
            traceparent: None,
            now: self.clock.now(),
        }
    }

    /// A scan of the name with these options, stored. Names that are asked for answer at once.
    async fn scan(&self, options: ScanOptions) -> NewScan {
        let mut scan =
            planner(&self.dns).plan_options(&self.asker(), NAME, Plan::Custom, options).await.expect("a plan");
        for task in scan.tasks.iter_mut().filter(|task| task.tool == "subdomains") {
            // Nobody listens there; the address of the name is nobody's to call.
            task.params = serde_json::json!({"port": 1});
            task.shard.addresses = vec!["127.0.0.1".parse().unwrap()];
            task.shard.hosts[0].address = "127.0.0.1".parse().unwrap();
            task.shard.hosts.truncate(1);
        }
        let now = self.clock.now();
        self.db.run("test", self.organization, async |tx| scans::create(tx, &scan, now).await).await.unwrap();
        scan
    }

    /// Admits, claims and executes what is ready in the pool; returns how many tasks.
    async fn work(&self, pool: Pool) -> usize {
        let now = self.clock.now();
        let limits = AdmissionLimits::none();
        self.db
            .operate("test", async |tx| admission::admit(tx, pool, 2, &limits, now, admission::Bearer::Relay).await)
            .await
            .unwrap();
        let events = self.db.operate("test", async |tx| events::claim(tx, 1_000).await).await.unwrap();
        let mut count = 0;
        for outgoing in events {
            let EventBody::TaskQueued(message) = outgoing.event.body else { continue };
            let by = lease::Claimant { worker_id: self.worker, level: SandboxLevel::L2, lease_seconds: 30.0 };
            let claim = async |tx: &picket_store::Tx<'_>| lease::claim(tx, &message, by, now).await;
            let task = self.db.run("test", self.organization, claim).await.unwrap().expect("a claim");
            self.execution.execute(0, task, SandboxLevel::L2).await;
            count += 1;
        }
        count
    }

    async fn lines(&self, sql: &str) -> Vec<String> {
        let rows = self.database.connect().await.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn tasks(&self) -> Vec<String> {
        let sql = "SELECT (shard ->> 'target') || ' ' || tool || ' ' || state || coalesce(' ' || gap, '')
                   FROM tasks ORDER BY 1";
        self.lines(sql).await
    }
}

/// A sandbox that can prove nothing and starts nothing.
fn sandbox(folder: &std::path::Path) -> Sandbox {
    Sandbox::new(SandboxSettings {
        prepared: 0,
        cgroup: None,
        bwrap: "/bin/sh".into(),
        tools_root: folder.into(),
        first_slot_uid: SandboxSettings::FIRST_SLOT_UID,
        slirp: None,
        netd: None,
        external_egress: false,
    })
    .unwrap()
}

fn below_and(options: ScanOptions) -> ScanOptions {
    ScanOptions { include_subdomain: true, ..options }
}

#[tokio::test]
async fn a_name_that_is_found_becomes_a_target_of_the_scan_with_its_addresses() {
    let stage = Stage::begin().await;
    // The scan is planned while the name is public; nobody is called there afterwards.
    stage.dns.set_addresses(NAME, &["93.184.215.14"]);
    stage.dns.set_addresses("www.example.com", &["93.184.215.15"]);
    stage.dns.set_addresses("vpn.example.com", &["10.0.0.7"]);
    stage.dns.set_addresses("dev.example.com", &["93.184.215.16"]);
    let halt = Halt {
        scope: HaltScope {
            organization_id: None,
            pattern: Some(picket_domain::TargetPattern::parse("93.184.215.16/32").unwrap()),
        },
        created_at: stage.clock.now(),
        created_by: "usr_operator".to_owned(),
        reason: "an incident".to_owned(),
    };
    let entry = picket_domain::AuditEntry {
        at: stage.clock.now(),
        actor: "usr_operator".to_owned(),
        action: picket_domain::AuditAction::ScanningHalted,
        object: None,
        address: None,
        request_id: None,
        before: None,
        after: None,
    };
    let by = HaltBy { organization_id: stage.organization, entry };
    assert!(stage.db.operate("test", async |tx| halts::throw(tx, &halt, &by).await).await.unwrap());
    let ssl = ScanOptions { ssl_scan: true, ..ScanOptions::of(Plan::Custom) };
    stage.scan(below_and(ssl)).await;
    stage.dns.set_addresses(NAME, &["93.184.215.14", "127.0.0.1"]);
    assert_eq!(stage.work(Pool::Net).await, 1);
    let expected =
        ["example.com sslscan ready", "example.com subdomains done output_incomplete", "www.example.com sslscan ready"];
    assert_eq!(stage.tasks().await, expected, "two names were refused: a missing one may be there");
    let pinned =
        "SELECT shard ->> 'addresses' || (shard -> 'hosts' -> 0 ->> 'name') FROM tasks WHERE grown_from IS NOT NULL";
    assert_eq!(stage.lines(pinned).await, [r#"["93.184.215.15"]www.example.com"#]);
    let gaps = "SELECT (g ->> 'target') || ' ' || (g ->> 'gap') FROM scans, jsonb_array_elements(gaps) AS g ORDER BY 1";
    assert_eq!(stage.lines(gaps).await, ["dev.example.com target_forbidden", "vpn.example.com target_forbidden"]);
    assert_eq!(stage.lines("SELECT subject FROM findings ORDER BY 1").await, ["www.example.com"]);
}

#[tokio::test]
async fn a_search_that_knows_of_every_name_has_no_gap_and_one_whose_only_name_is_refused_is_told_at_once() {
    for (address, expected) in [("93.184.215.15", "done"), ("10.0.0.7", "done output_incomplete")] {
        let stage = Stage::begin().await;
        stage.dns.set_addresses(NAME, &["93.184.215.14"]);
        stage.dns.set_addresses("vpn.example.com", &[address]);
        stage.scan(below_and(ScanOptions::of(Plan::Custom))).await;
        stage.dns.set_addresses(NAME, &["127.0.0.1"]);
        assert_eq!(stage.work(Pool::Net).await, 1);
        assert_eq!(stage.tasks().await, [format!("example.com subdomains {expected}")]);
        let gaps = stage.lines("SELECT gaps::text FROM scans").await;
        assert_eq!(gaps[0].contains("target_forbidden"), address == "10.0.0.7", "{gaps:?}");
    }
}

#[tokio::test]
async fn a_search_whose_name_servers_are_silent_is_tried_again_and_then_a_gap() {
    let stage = Stage::begin().await;
    stage.dns.set_addresses(NAME, &["93.184.215.14"]);
    stage.scan(below_and(ScanOptions::of(Plan::Custom))).await;
    stage.dns.set_addresses(NAME, &["127.0.0.1"]);
    let silent = OutboundSettings {
        name_servers: vec!["127.0.0.1:1".parse().unwrap()],
        dns_timeout_ms: 200,
        ..OutboundSettings::default()
    };
    let planner = Planner::new(&BTreeMap::new(), Resolver::new(&silent).unwrap(), AllowList::default());
    let stage = Stage { execution: Execution { planner: Arc::new(planner), ..stage.execution }, ..stage };
    for _ in 0..2 {
        assert_eq!(stage.work(Pool::Net).await, 1);
        assert_eq!(stage.tasks().await, ["example.com subdomains ready"]);
        stage.database.connect().await.execute("UPDATE tasks SET ready_at = now()", &[]).await.unwrap();
    }
    assert_eq!(stage.work(Pool::Net).await, 1);
    assert_eq!(stage.tasks().await, ["example.com subdomains failed tool_failed"]);
    assert_eq!(stage.lines("SELECT detail FROM tasks").await, ["the name servers did not answer"]);
    let gaps = stage.lines("SELECT gaps::text FROM scans").await;
    assert!(gaps[0].contains("include_subdomain"), "{gaps:?}");
}

#[tokio::test]
async fn t7_a_name_that_leads_elsewhere_at_the_start_is_not_scanned() {
    let stage = Stage::begin().await;
    stage.dns.set_addresses(NAME, &["93.184.215.14"]);
    let ports = ScanOptions { port_scan: true, ..ScanOptions::of(Plan::Custom) };
    stage.scan(ports).await;
    stage.dns.set_addresses(NAME, &["169.254.169.254"]);
    assert_eq!(stage.work(Pool::Net).await, 1);
    assert_eq!(stage.tasks().await, ["example.com nmap failed target_changed"]);
    let detail = stage.lines("SELECT detail FROM tasks").await;
    assert_eq!(detail, ["the name leads to other addresses than when the scan was made"]);
    let failure = stage.lines("SELECT failure FROM scans").await;
    assert!(failure[0].contains("target_changed"), "{failure:?}");

    // A name that stays where it was goes on to its tool, which is not installed here.
    stage.dns.set_addresses(NAME, &["93.184.215.14"]);
    stage.scan(ports).await;
    assert_eq!(stage.work(Pool::Net).await, 1);
    assert!(stage.tasks().await.contains(&"example.com nmap failed tool_unavailable".to_owned()));
}

#[tokio::test]
async fn t17_an_ipv6_only_name_whose_address_changes_is_not_scanned_at_the_new_one() {
    let stage = Stage::begin().await;
    stage.dns.set_addresses(NAME, &["2606:4700::1"]);
    let ports = ScanOptions { port_scan: true, ..ScanOptions::of(Plan::Custom) };
    let scan = stage.scan(ports).await;
    let pinned: Vec<_> = scan.tasks.iter().flat_map(|task| task.shard.addresses.clone()).collect();
    assert_eq!(pinned, ["2606:4700::1".parse::<std::net::IpAddr>().unwrap()]);
    stage.dns.set_addresses(NAME, &["2606:4700::2"]);
    assert_eq!(stage.work(Pool::Net).await, 1);
    assert_eq!(stage.tasks().await, ["example.com nmap failed target_changed"]);
}

#[tokio::test]
async fn t15_what_the_operator_denies_since_is_not_begun() {
    let mut stage = Stage::begin().await;
    stage.dns.set_addresses(NAME, &["93.184.215.14"]);
    let ports = ScanOptions { port_scan: true, ..ScanOptions::of(Plan::Custom) };
    stage.scan(ports).await;
    let denied = DenyList::parse(&["93.184.215.0/24".to_owned()]).unwrap();
    stage.execution.planner = Arc::new(planner(&stage.dns).denying(denied));
    assert_eq!(stage.work(Pool::Net).await, 1);
    assert_eq!(stage.tasks().await, ["example.com nmap failed target_forbidden"]);
}
