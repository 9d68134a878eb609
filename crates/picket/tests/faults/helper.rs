//! F25 at L0: the network helper of a node is killed, its way out and a run's wire are deleted, the packet filter is flushed,
//! and a worker dies while its tool is connected. All of it in a network namespace of the test's own, behind a cable to this machine.

use std::{fs::File, process::Command};

use picket_domain::NewScan;
use picket_netd::NetdClient;
use serde_json::json;

use crate::{
    cable::{Cable, run},
    checker::{self, Owed},
    flush::{flush, guards_tables, router},
    platform::Platform,
    process::{Role, eventually},
    proxy::Proxy,
    service::Service,
    stage::LONG,
};

/// A node of its own at the far end of a cable.
struct Node {
    platform: Platform,
    cable: Cable,
    urls: [String; 2],
    socket: String,
    _proxies: [Proxy; 2],
}

impl Node {
    async fn new() -> Option<Self> {
        let cable = Cable::new().await?;
        let platform = Platform::new("F25, L0").await;
        let (database, broker) = (platform.stage.database.url(), platform.stage.namespace.url.clone());
        let proxies = [Proxy::at(&cable.address, &database).await, Proxy::at(&cable.address, &broker).await];
        let urls = [proxies[0].url(&database), proxies[1].url(&broker)];
        let socket = platform.folder().join("netd.sock");
        platform.left.lock().unwrap().netd = Some(socket.clone());
        Some(Self { platform, cable, urls, socket: socket.to_str().unwrap().to_owned(), _proxies: proxies })
    }

    fn wires(&self) -> Option<u32> {
        NetdClient::new(self.socket.clone().into()).status().ok().map(|status| status.slots)
    }

    /// A network helper that listens.
    async fn helper(&self) -> Role {
        let settings = [
            ("PICKET_NETD__SOCKET", self.socket.as_str()),
            ("PICKET_NETD__ALLOW_INTERNAL", r#"["127.0.0.0/8","10.213.0.0/16"]"#),
        ];
        let helper = self.platform.start_by(&self.cable.far(), "netd", "", &settings);
        eventually("the network helper", LONG, async || self.wires()).await;
        helper
    }

    /// A worker that takes nothing unless the helper connects it.
    fn worker(&self) -> Role {
        let settings = [
            ("DATABASE_URL", self.urls[0].as_str()),
            ("AMQP_URL", self.urls[1].as_str()),
            ("PICKET_WORKER__POOLS", "[net]"),
            ("PICKET_WORKER__SLOTS", "1"),
            ("PICKET_WORKER__NETD_SOCKET", self.socket.as_str()),
            ("PICKET_WORKER__SANDBOX_EXTERNAL_EGRESS", "unknown"),
            ("PICKET_WORKER__SANDBOX_LEVEL_MIN", "L0"),
        ];
        self.platform.start_by(&self.cable.far(), "worker", "", &settings)
    }

    /// A scan of a silent service at this end of the cable, once its tool runs in that worker, connected.
    async fn begun(&self, worker: &Role) -> (Service, NewScan) {
        let service = Service::silent_at(&self.cable.address);
        let mut scan = self.platform.stage.plan(&service);
        scan.target.clone_from(&self.cable.address);
        for task in &mut scan.tasks {
            task.shard.target.clone_from(&self.cable.address);
            task.shard.addresses = vec![self.cable.address.parse().unwrap()];
        }
        self.platform.stage.store(&scan).await;
        checker::accept(&self.platform.stage.database, scan.id, Owed::default()).await;
        let runs = async || (!worker.tools().is_empty() && self.wires() == Some(1)).then_some(());
        eventually("the tool runs, connected", LONG, runs).await;
        (service, scan)
    }

    /// The run has lost its network and says so; it is tried again when somebody connects it. Nobody admits it before.
    async fn reconnected(&self, steward: &Role, helper: &mut Role, (service, scan): (Service, NewScan)) {
        steward.signal("STOP");
        helper.kill();
        *helper = self.helper().await;
        service.speak();
        steward.signal("CONT");
        self.platform.stage.await_state(&scan, "completed").await;
        let row =
            self.platform.stage.row("SELECT attempt, gap FROM tasks WHERE scan_id = $1", &[&scan.id.uuid()]).await;
        assert_eq!((row.get::<_, i32>(0), row.get::<_, Option<String>>(1)), (2, None), "tried again, and whole");
    }

    async fn unwired(&self) {
        eventually("no wire is left", LONG, async || (self.wires() == Some(0)).then_some(())).await;
    }
}

/// The network interface of a process, beside its loopback.
fn interface(id: u32) -> String {
    let listed = Command::new("nsenter").args(["-t", &id.to_string(), "-n", "ip", "-o", "link"]).output().unwrap();
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.split([' ', '@', ':']).filter(|word| !word.is_empty()).nth(1));
    names.filter(|name| *name != "lo").map(str::to_owned).next().unwrap_or_else(|| panic!("an interface: {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f25_a_node_whose_helper_is_killed_and_whose_links_are_deleted_tells_no_silence_for_an_answer() {
    let Some(node) = Node::new().await else { return };
    let platform = &node.platform;
    let (steward, _dispatcher) = (platform.start("steward", ""), platform.start("dispatcher", ""));
    let (mut helper, mut worker) = (node.helper().await, node.worker());

    let begun = node.begun(&worker).await;
    node.reconnected(&steward, &mut helper, begun).await;

    // The way out of the node, before the helper that made it dies too: its successor makes it anew.
    let begun = node.begun(&worker).await;
    let far = node.cable.far().join(" ");
    assert!(run(&format!("{far} ip link del picket0")), "the way out");
    node.reconnected(&steward, &mut helper, begun).await;

    // Somebody flushes the packet filter, on the node and in its router: the helper's tables are its own, and the run goes on.
    if guards_tables() {
        let (service, scan) = node.begun(&worker).await;
        flush(File::open(format!("/proc/{}/ns/net", helper.id())).unwrap());
        flush(router(helper.id()));
        service.speak();
        platform.stage.await_state(&scan, "completed").await;
        let row = platform.stage.row("SELECT attempt, gap FROM tasks WHERE scan_id = $1", &[&scan.id.uuid()]).await;
        assert_eq!((row.get::<_, i32>(0), row.get::<_, Option<String>>(1)), (1, None), "as if nothing had been");
    }

    // A run's own wire: the tool hears nothing any more until somebody stops it, and the slot is free again.
    let (_service, scan) = node.begun(&worker).await;
    let tool = worker.tools()[0].id;
    let wire = interface(tool);
    assert!(run(&format!("nsenter -t {tool} -n ip link del {wire}")), "{wire}");
    assert!(platform.cancel(&scan).await);
    node.unwired().await;

    // A worker dies with its tool connected.
    let (service, scan) = node.begun(&worker).await;
    platform.kill(&mut worker);
    service.speak();
    node.unwired().await;
    let _second = node.worker();
    platform.stage.await_state(&scan, "completed").await;
    platform.scan_of_nobody().await;
    platform.verdict().await;
}

impl Platform {
    /// Nothing of the simulator is asked for here; the platform is whole all the same.
    async fn scan_of_nobody(&self) {
        let _worker = self.start("worker", "");
        let scan = self.scan(&json!({"findings": 1})).await;
        self.stage.await_state(&scan, "completed").await;
    }
}
