//! How large a scan will be and how long it takes, before it is made. A promise of nothing: what grows is guessed as one web
//! site with TLS and one SSH server at each eighth address, and a tool takes as long as its runs usually did.

use std::{collections::BTreeMap, time::Duration};

use picket_domain::{NewScan, Plan, RunLimits, ScanLimits};
use picket_scanners::{Tool, find};

use super::options::{FIRST_WEB_TOOL, SSH_AUDIT, SSL_SCAN, WEB_SCAN, deeper_web_tools, ssh_tools, tls_tools};

/// Of how many addresses one is taken to have services.
const QUIET: u64 = 8;

/// Seconds that a run usually takes, where none was measured yet.
const SECONDS: [(&str, u64); 7] = [
    ("ffuf", 120),
    ("nmap", 150),
    ("ssh-audit", 10),
    ("sslscan", 20),
    ("testssl", 180),
    ("wapiti", 420),
    ("whatweb", 10),
];
/// The same for every other tool.
const OTHER_SECONDS: u64 = 60;

/// How long a run of each tool takes: the median of those that were measured, else a constant of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durations(BTreeMap<String, Duration>);

impl FromIterator<(String, Duration)> for Durations {
    fn from_iter<I: IntoIterator<Item = (String, Duration)>>(measured: I) -> Self {
        Self(measured.into_iter().collect())
    }
}

impl Durations {
    /// Of one run of a tool.
    #[must_use]
    pub fn of(&self, tool: &str) -> Duration {
        let ours = || SECONDS.into_iter().find(|(one, _)| *one == tool).map_or(OTHER_SECONDS, |(_, seconds)| seconds);
        self.0.get(tool).copied().unwrap_or_else(|| Duration::from_secs(ours()))
    }

    /// The same of runs with limits: one that goes at half of its tool's rate is taken to last twice as long, and none lasts longer
    /// than it may.
    #[must_use]
    fn within(&self, limits: &ScanLimits) -> Self {
        let limited = limits.iter().map(|(slug, RunLimits { seconds, rate })| {
            let usual = find(slug).and_then(Tool::rate).map_or(1, |rate| rate.usual);
            let slower = f64::from(usual) / f64::from(rate.unwrap_or(usual).clamp(1, usual));
            let most = seconds.map_or(Duration::MAX, |seconds| Duration::from_secs(seconds.into()));
            let lasts = Duration::try_from_secs_f64(self.of(slug).as_secs_f64() * slower).unwrap_or(Duration::MAX);
            (slug.clone(), lasts.min(most))
        });
        Self(self.0.clone().into_iter().chain(limited).collect())
    }

    fn seconds(&self, tool: &str) -> u64 {
        self.of(tool).as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX)
    }
}

/// What a scan is expected to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Tasks that it begins with.
    pub tasks: u64,
    /// All of its tasks, with those that usually grow from its results.
    pub expected_tasks: u64,
    /// Hosts × ports of the tasks that it begins with, for the limit of the subscription.
    pub probes: u64,
    /// What it costs: seconds of all tasks together.
    pub task_seconds: u64,
    /// Seconds from its start to its end when nobody else is waited for.
    pub duration_seconds: u64,
}

impl Estimate {
    /// Of no scan at all.
    pub const NOTHING: Self = Self { tasks: 0, expected_tasks: 0, probes: 0, task_seconds: 0, duration_seconds: 0 };

    /// Of a scan of which so many tasks run at once.
    #[must_use]
    pub fn of(scan: &NewScan, durations: &Durations, at_once: u32) -> Self {
        let durations = &durations.within(&scan.limits);
        let mut whole = Self { probes: scan.probes, ..Self::NOTHING };
        let mut longest = 0;
        for task in &scan.tasks {
            let addresses = u64::try_from(task.shard.addresses.len()).unwrap_or(u64::MAX);
            longest = longest.max(whole.plan(scan.plan, (task.tool, &task.opens), (1, addresses), durations));
        }
        for later in &scan.later {
            for size in later.sizes().into_iter().filter(|(tasks, _)| *tasks > 0) {
                longest = longest.max(whole.plan(scan.plan, (&later.tool, &later.opens), size, durations));
            }
        }
        whole.duration_seconds = whole.task_seconds.div_ceil(u64::from(at_once.max(1))).max(longest);
        whole
    }

    /// Counts so many tasks of a tool at so many addresses each, with what usually grows; seconds from their start to the end
    /// of what grew.
    fn plan(
        &mut self,
        plan: Plan,
        (tool, opens): (&str, &[String]),
        (tasks, addresses): (u64, u64),
        durations: &Durations,
    ) -> u64 {
        let own = durations.seconds(tool);
        let mut chain = own;
        self.tasks = self.tasks.saturating_add(tasks);
        self.add(tasks, own);
        let services = addresses.div_ceil(QUIET).saturating_mul(tasks);
        for stage in later(plan, opens) {
            let seconds = stage.iter().map(|tool| durations.seconds(tool));
            chain = chain.saturating_add(seconds.clone().max().unwrap_or(0));
            seconds.for_each(|seconds| self.add(services, seconds));
        }
        chain
    }

    fn add(&mut self, tasks: u64, seconds: u64) {
        self.expected_tasks = self.expected_tasks.saturating_add(tasks);
        self.task_seconds = self.task_seconds.saturating_add(tasks.saturating_mul(seconds));
    }

    /// The text of `estimated_duration`, e.g. `10-15 minutes`.
    #[must_use]
    pub fn words(&self) -> String {
        if self.duration_seconds < 60 {
            return "less than 1 minute".to_owned();
        }
        // A fifth less to a fifth more.
        let from = self.duration_seconds / 75;
        let to = self.duration_seconds.div_ceil(50).max(from.saturating_add(1));
        format!("{}-{to} minutes", from.max(1))
    }
}

/// The tools of the stages after a task, for one service of each kind.
fn later(plan: Plan, opens: &[String]) -> Vec<Vec<&'static str>> {
    let is_open = |name: &str| opens.iter().any(|one| one == name);
    let (mut next, mut deeper) = (Vec::new(), Vec::new());
    if is_open(SSL_SCAN) {
        next.extend(tls_tools(plan));
    }
    if is_open(SSH_AUDIT) {
        next.extend(ssh_tools(plan));
    }
    if is_open(WEB_SCAN) {
        next.push(FIRST_WEB_TOOL);
        deeper.extend(deeper_web_tools(plan));
    }
    vec![next, deeper]
}

#[cfg(test)]
mod tests {
    use picket_domain::{Needs, NewTask, Pool, SandboxLevel, Shard, TaskId};

    use super::*;

    fn scan(plan: Plan, tasks: usize, addresses: usize, opens: &[&str]) -> NewScan {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let task = |_| NewTask {
            id: TaskId::mint(now),
            tool: "nmap",
            needs: Needs { pool: Pool::Net, level: SandboxLevel::L2 },
            params: serde_json::Value::Null,
            shard: Shard {
                target: "example.com".to_owned(),
                addresses: vec![std::net::IpAddr::from([192, 0, 2, 7]); addresses],
                hosts: Vec::new(),
            },
            opens: opens.iter().map(|name| (*name).to_owned()).collect(),
        };
        NewScan {
            id: picket_domain::ScanId::mint(now),
            organization_id: picket_domain::OrganizationId::mint(now),
            dialect: picket_domain::Dialect::V2,
            plan,
            target: "example.com".to_owned(),
            tool: None,
            request: serde_json::Value::Null,
            notify: Vec::new(),
            gaps: Vec::new(),
            tasks: (0..tasks).map(task).collect(),
            later: Vec::new(),
            authority: picket_domain::Authority::of(picket_domain::Basis::Operator),
            probes: 7,
            limits: picket_domain::ScanLimits::default(),
            requested_by: String::new(),
            traceparent: None,
        }
    }

    #[test]
    fn what_usually_grows_is_counted() {
        let all = ["web_scan", "ssl_scan", "ssh-audit"];
        let one = Estimate::of(&scan(Plan::Full, 1, 1, &all), &Durations::default(), 10);
        // nmap; sslscan, testssl, ssh-audit, whatweb; ffuf, wapiti.
        assert_eq!((one.tasks, one.expected_tasks, one.probes), (1, 7, 7));
        assert_eq!((one.task_seconds, one.duration_seconds), (910, 150 + 180 + 420));
        assert_eq!(one.words(), "10-15 minutes");
        let many = Estimate::of(&scan(Plan::Full, 4, 256, &all), &Durations::default(), 10);
        assert_eq!((many.tasks, many.expected_tasks), (4, 4 + 4 * 32 * 6));
        assert_eq!(many.duration_seconds, many.task_seconds.div_ceil(10));
    }

    #[test]
    fn what_was_measured_counts_and_else_a_constant() {
        let measured = || [("nmap".to_owned(), Duration::from_millis(10_500))].into_iter().collect::<Durations>();
        assert_eq!(Estimate::of(&scan(Plan::Quick, 1, 1, &[]), &measured(), 2).duration_seconds, 11);
        assert_eq!(measured().of("nmap"), Duration::from_millis(10_500));
        assert_eq!(measured().of("a new tool"), Duration::from_secs(OTHER_SECONDS));
    }

    #[test]
    fn limits_of_runs_shorten_and_lengthen_them() {
        let with = |tool: &str, seconds, rate| {
            let mut scan = scan(Plan::Full, 1, 1, &["web_scan"]);
            scan.limits = [(tool.to_owned(), RunLimits { seconds, rate })].into_iter().collect();
            Estimate::of(&scan, &Durations::default(), 10).duration_seconds
        };
        let usual = 150 + 10 + 420;
        assert_eq!(with("sslscan", Some(60), None), usual, "it is none of the plan's");
        assert_eq!(with("nmap", Some(60), None), usual - 90);
        assert_eq!(with("nmap", Some(1_000), None), usual, "a longer one is not needed");
        assert_eq!(with("nmap", None, Some(500)), usual + 150);
        assert_eq!(with("nmap", Some(200), Some(1)), usual + 50);
    }

    #[test]
    fn a_plan_without_tasks_is_over_at_once() {
        let none = Estimate::of(&scan(Plan::Full, 0, 0, &[]), &Durations::default(), 10);
        assert_eq!((none.words().as_str(), none.duration_seconds), ("less than 1 minute", 0));
        let minutes = |seconds| Estimate { duration_seconds: seconds, ..none }.words();
        assert_eq!((minutes(60), minutes(750)), ("1-2 minutes".to_owned(), "10-15 minutes".to_owned()));
    }
}
