//! F13, F14: a cluster of three brokers on this machine, whose nodes are killed, stopped and cut off from each other while
//! scans are created and done. Minutes long: `make faults` alone runs it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use picket_testkit::{Database, Namespace, required};
use serde_json::json;

use crate::{
    platform::Platform,
    private::stack,
    process::eventually,
    proxy::Way,
    stage::{LONG, Stage},
};

/// Scans that have not ended, beyond which no more are created.
const OPEN: i64 = 8;
/// Scans that must end after a fault, before the next one comes.
const ENOUGH: i64 = 6;
/// Longer than it takes to notice a node that is silent, and to elect another leader.
const SOON: Duration = Duration::from_secs(120);
/// Cuts a node off from its peers: neither lets the other one in any more, and the link that is there is closed.
const CUT: &str = "[begin erlang:set_cookie(N, cut), erlang:disconnect_node(N) end || N <- nodes()].";

/// Three nodes, ended with the test.
struct Cluster {
    folder: tempfile::TempDir,
    urls: String,
    /// The number of each node's name.
    numbers: BTreeMap<String, usize>,
}

impl Cluster {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let urls = stack(&["broker", "cluster"], folder.path(), &[], &[]);
        let mut cluster = Self { folder, urls, numbers: BTreeMap::new() };
        for number in 1..=3 {
            let name = cluster.tell("ctl", number, &["eval", "node()."]);
            cluster.numbers.insert(name.trim_matches('\'').to_owned(), number);
        }
        cluster
    }

    /// What lets a node's peers in again.
    fn heal(&self, node: usize) -> String {
        let peers = self.numbers.iter().filter(|(_, number)| **number != node);
        let peers: Vec<String> = peers.map(|(name, _)| format!("'{name}'")).collect();
        format!("[erlang:set_cookie(N, erlang:get_cookie()) || N <- [{}]].", peers.join(","))
    }

    fn tell(&self, word: &str, node: usize, more: &[&str]) -> String {
        stack(&["broker", word], &self.folder.path().join(node.to_string()), more, &[])
    }

    /// The node that leads this queue, as another one of those that run knows it.
    fn leader(&self, asked: usize, queue: &str) -> usize {
        let lines = self.tell("ctl", asked, &["list_queues", "name", "leader"]);
        let line = lines.lines().find_map(|line| line.strip_prefix(queue));
        let name = line.unwrap_or_else(|| panic!("{queue} in {lines}")).trim();
        self.numbers[name]
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        stack(&["broker", "end"], self.folder.path(), &[], &[]);
    }
}

/// The experiment's platform, and what was created so far.
struct Load {
    platform: Platform,
    cluster: Arc<Cluster>,
    base: String,
    is_over: AtomicBool,
}

impl Load {
    async fn count(&self, sql: &str) -> i64 {
        self.platform.stage.row(sql, &[]).await.get(0)
    }

    async fn ended(&self) -> i64 {
        self.count("SELECT count(*) FROM scans WHERE ended_at IS NOT NULL").await
    }

    async fn create(&self) {
        let answered = self.platform.create(&self.base, None, &json!({"findings": 2, "sleep_ms": 100})).await;
        assert_eq!(answered, Some(201), "whatever the broker does, the API accepts");
    }

    /// Creates scans, as long as they end.
    async fn create_all(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            self.create().await;
            let room = async || {
                let open = self.count("SELECT count(*) FROM scans WHERE ended_at IS NULL").await;
                (open < OPEN || self.is_over.load(Ordering::Relaxed)).then_some(())
            };
            eventually("room for another scan", SOON * 3, room).await;
        }
    }

    /// Waits until scans have ended that had not ended before: somebody publishes, and somebody takes.
    async fn goes_on(&self, fault: &str) {
        let before = self.ended().await;
        let more = async || (self.ended().await >= before + ENOUGH).then_some(());
        let (_, after) = eventually(fault, SOON, more).await;
        println!("F13: {fault}: {ENOUGH} more scans had ended after {after:?}");
    }

    async fn tell(&self, word: &'static str, node: usize) -> String {
        let cluster = self.cluster.clone();
        tokio::task::spawn_blocking(move || cluster.tell(word, node, &[])).await.unwrap()
    }

    /// Says it in Erlang.
    async fn evaluate(&self, node: usize, words: String) {
        let cluster = self.cluster.clone();
        tokio::task::spawn_blocking(move || cluster.tell("ctl", node, &["eval", &words])).await.unwrap();
    }

    async fn leader(&self, asked: usize) -> usize {
        let (cluster, prefix) = (self.cluster.clone(), self.platform.stage.namespace.prefix.clone());
        let queue = format!("{prefix}.tasks.simulate");
        tokio::task::spawn_blocking(move || cluster.leader(asked, &queue)).await.unwrap()
    }

    async fn faults(&self) {
        self.goes_on("nothing yet").await;
        let leader = self.leader(1).await;
        self.killed(leader, "the leader is killed").await;
        let leader = self.leader(1).await;
        self.killed(leader % 3 + 1, "a follower is killed").await;

        self.tell("pause", leader).await;
        self.goes_on("the leader is stopped").await;
        self.tell("resume", leader).await;
        self.goes_on("it is continued").await;
        // It does not find out by itself that the others have gone on without it (`pause_minority` sees no minority), and
        // wants to be started again.
        self.killed(leader, "it is restarted").await;

        let leader = self.leader(1).await;
        self.evaluate(leader, CUT.to_owned()).await;
        self.goes_on("the leader is cut off from its peers").await;
        self.evaluate(leader, self.cluster.heal(leader)).await;
        self.goes_on("they let each other in again").await;

        for way in [Way::Cut, Way::Silent] {
            self.platform.broker.set(way);
            self.goes_on("the way to one node").await;
            self.platform.broker.set(Way::Open);
        }
        self.minority().await;
        self.is_over.store(true, Ordering::Relaxed);
    }

    async fn killed(&self, node: usize, fault: &str) {
        self.tell("kill", node).await;
        self.goes_on(fault).await;
        self.tell("start", node).await;
        self.goes_on("it is back").await;
    }

    /// Two of three are gone: nothing can be published, and everything is accepted.
    async fn minority(&self) {
        let leader = self.leader(1).await;
        let other = leader % 3 + 1;
        tokio::join!(self.tell("kill", leader), self.tell("kill", other));
        for _ in 0..10 {
            self.create().await;
        }
        let waits =
            async || (self.count("SELECT count(*) FROM events WHERE published_at IS NULL").await >= 10).then_some(());
        eventually("events wait for the broker", LONG, waits).await;
        tokio::join!(self.tell("start", leader), self.tell("start", other));
        self.goes_on("two of three are back").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "three brokers for minutes: `make faults` runs it"]
async fn f13_a_cluster_whose_nodes_are_killed_stopped_and_cut_off_loses_nothing_and_goes_on() {
    let cluster = Arc::new(tokio::task::spawn_blocking(Cluster::start).await.unwrap());
    // The first of the addresses is the proxy's.
    let namespace = Namespace { url: cluster.urls.clone(), ..Namespace::new() };
    let stage = Stage::on(Database::new().await, namespace).await;
    let platform = Platform::on("F13", stage, required("REDIS_URL")).await;
    let mut sound = platform.sound();
    let (_gateway, base) = platform.gateway("").await;
    let load = Load { platform, cluster, base, is_over: AtomicBool::new(false) };
    tokio::join!(load.create_all(), load.faults());
    for role in &mut sound {
        assert_eq!(role.exit_code(), None, "nobody gave up: {}", role.log());
    }
    println!("F13: {} scans accepted", load.count("SELECT count(*) FROM scans").await);
    load.platform.verdict().await;
}
