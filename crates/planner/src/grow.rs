//! The next stage of a plan, from what a task of the stage before has found. Pure: it asks nobody and stores nothing.
//!
//! A next task looks at one address and port. The address is one of the task that found it, so it was judged and pinned
//! when the scan was made; what a report says of any other address is not followed. Whatever does not fit the limits is a
//! gap, so that nobody takes it for clean.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use picket_domain::{ClaimedTask, Gap, Growing, Grown, NewTask, Observation, PlanGap, Shard, TaskId};
use picket_scanners::{Asked, OpenPort, ScanSpec, Speaks, open_port};
use serde_json::{Value, json};

use super::options::{FIRST_WEB_TOOL, SSH_AUDIT, SSL_SCAN, WEB_SCAN, deeper_web_tools, ssh_tools, tls_tools};

/// Services of one address that are looked at further. A host with more open ports answers on everything.
const MOST_SERVICES: usize = 32;

/// What is planned from the result of a task. The same result gives the same tasks, their ids excepted.
#[must_use]
pub fn grow(task: &ClaimedTask, observations: &[Observation], growing: &Growing, now: Timestamp) -> Grown {
    let mut next = Next { task, growing, now, grown: Grown::default() };
    if task.tool == FIRST_WEB_TOOL {
        for tool in deeper_web_tools(growing.plan) {
            if next.is_open(tool) {
                next.add(tool, task.params.clone(), task.shard.clone(), &[]);
            }
        }
    } else {
        next.look_at(&services(task, observations));
    }
    next.grown
}

/// The open ports of the task's own addresses, each once, at each address the lowest first. Of what two observations say of
/// one port, the one that names a protocol counts.
fn services(task: &ClaimedTask, observations: &[Observation]) -> Vec<OpenPort> {
    let mut found = BTreeMap::new();
    for port in observations.iter().filter_map(open_port).filter(|port| task.shard.addresses.contains(&port.address)) {
        let known = found.entry((port.address, port.port)).or_insert(port);
        if known.speaks == Speaks::Other && !known.is_tls {
            *known = port;
        }
    }
    found.into_values().collect()
}

/// What grows, while it does.
struct Next<'a> {
    task: &'a ClaimedTask,
    growing: &'a Growing,
    now: Timestamp,
    grown: Grown,
}

impl Next<'_> {
    fn is_open(&self, name: &str) -> bool {
        self.task.opens.iter().any(|one| one == name)
    }

    fn look_at(&mut self, services: &[OpenPort]) {
        let mut looked: BTreeMap<_, BTreeSet<u16>> = BTreeMap::new();
        for service in services {
            let runs = self.runs(service);
            let ports = looked.entry(service.address).or_default();
            if runs.is_empty() {
                continue;
            }
            ports.insert(service.port);
            let is_too_many = ports.len() > MOST_SERVICES;
            for (option, tool, params, opens) in runs {
                if is_too_many {
                    self.lack(option, Gap::LimitExceeded);
                } else {
                    self.add(tool, params, self.shard(service), opens);
                }
            }
        }
    }

    /// What looks at a service: the option that asked for it, the tool, its parameters, and what follows.
    fn runs(&self, service: &OpenPort) -> Vec<Run> {
        let (plan, port) = (self.growing.plan, service.port);
        let mut runs = Vec::new();
        if service.is_tls && self.is_open(SSL_SCAN) {
            runs.extend(tls_tools(plan).iter().map(|tool| (SSL_SCAN, *tool, json!({"port": port}), NOTHING)));
        }
        if service.speaks == Speaks::Http && self.is_open(WEB_SCAN) {
            let params = json!({"port": port, "tls": service.is_tls});
            runs.push((WEB_SCAN, FIRST_WEB_TOOL, params, deeper_web_tools(plan)));
        }
        if service.speaks == Speaks::Ssh && !service.is_tls && self.is_open(SSH_AUDIT) {
            runs.extend(ssh_tools(plan).iter().map(|tool| (SSH_AUDIT, *tool, json!({"port": port}), NOTHING)));
        }
        runs
    }

    /// The one address, with the names that were pinned to it.
    fn shard(&self, service: &OpenPort) -> Shard {
        let Shard { target, hosts, .. } = &self.task.shard;
        let hosts = hosts.iter().filter(|host| host.address == service.address).cloned().collect();
        Shard { target: target.clone(), addresses: vec![service.address], hosts }
    }

    fn add(&mut self, tool: &str, params: Value, shard: Shard, opens: &[&str]) {
        let Ok(spec) = ScanSpec::try_from(Asked { tool, parameters: Some(&params) }) else {
            return self.lack(tool, Gap::ToolUnavailable);
        };
        for shape in spec.shapes() {
            let planned = u64::try_from(self.grown.tasks.len()).unwrap_or(u64::MAX);
            let probes = self.grown.probes.saturating_add(shape.ports.into());
            if planned >= self.growing.tasks_left || probes > self.growing.probes_left {
                return self.lack(tool, Gap::LimitExceeded);
            }
            self.grown.probes = probes;
            self.grown.tasks.push(NewTask {
                id: TaskId::mint(self.now),
                tool: spec.tool().slug(),
                needs: shape.needs,
                params: shape.params.clone(),
                shard: shard.clone(),
                opens: opens.iter().map(|name| (*name).to_owned()).collect(),
            });
        }
    }

    fn lack(&mut self, what: &str, gap: Gap) {
        let gap = PlanGap { tool: what.to_owned(), target: self.task.shard.target.clone(), gap };
        if !self.grown.gaps.contains(&gap) {
            self.grown.gaps.push(gap);
        }
    }
}

/// The option, the tool, its parameters, and what is planned from its result.
type Run = (&'static str, &'static str, Value, &'static [&'static str]);

const NOTHING: &[&str] = &[];

#[cfg(test)]
mod tests {
    use picket_domain::{
        Confidence, Fence, Location, OrganizationId, PinnedHost, Plan, Protocol, ScanId, Service, Severity,
    };

    use super::*;

    fn now() -> Timestamp {
        "2026-01-15T14:30:00Z".parse().unwrap()
    }

    fn task(tool: &str, params: Value, opens: &[&str], addresses: &[&str]) -> ClaimedTask {
        let addresses: Vec<std::net::IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let pin = |address: &std::net::IpAddr| PinnedHost { name: "www.example.com".to_owned(), address: *address };
        ClaimedTask {
            fence: Fence { task_id: TaskId::mint(now()), attempt: 1 },
            organization_id: OrganizationId::mint(now()),
            scan_id: ScanId::mint(now()),
            tool: tool.to_owned(),
            params,
            shard: Shard {
                target: "www.example.com".to_owned(),
                hosts: addresses.iter().map(pin).collect(),
                addresses,
            },
            opens: opens.iter().map(|name| (*name).to_owned()).collect(),
            limits: picket_domain::RunLimits::default(),
            failures: 0,
            traceparent: None,
        }
    }

    fn ports(addresses: &[&str]) -> ClaimedTask {
        task("nmap", json!({}), &[WEB_SCAN, SSL_SCAN, SSH_AUDIT], addresses)
    }

    fn open(host: &str, port: u16, name: Option<&str>) -> Observation {
        Observation {
            rule: "port.open".to_owned(),
            title: String::new(),
            severity: Severity::Info,
            cve: None,
            cvss: None,
            location: Location { host: host.to_owned(), port: Some(port), protocol: Some(Protocol::Tcp), url: None },
            subject: String::new(),
            description: String::new(),
            evidence: String::new(),
            remediation: String::new(),
            service: name.map(|name| Service { name: Some(name.to_owned()), ..Service::default() }),
            confidence: Confidence::default(),
            cwe: None,
            references: Vec::new(),
        }
    }

    fn growing(plan: Plan) -> Growing {
        Growing { plan, request: Value::Null, tasks_left: 1_000, probes_left: 1_000 }
    }

    fn planned(grown: &Grown) -> Vec<(&'static str, u64, Option<bool>)> {
        let of = |task: &NewTask| (task.tool, task.params["port"].as_u64().unwrap(), task.params["tls"].as_bool());
        grown.tasks.iter().map(of).collect()
    }

    #[test]
    fn each_service_gets_the_tools_that_look_at_it_and_a_closed_port_none() {
        let seen = [
            open("192.0.2.7", 8443, Some("https")),
            open("192.0.2.7", 2222, Some("ssh")),
            open("192.0.2.7", 8081, Some("http")),
            open("192.0.2.7", 993, Some("ssl/imap")),
            open("192.0.2.7", 3306, Some("mysql")),
        ];
        let grown = grow(&ports(&["192.0.2.7"]), &seen, &growing(Plan::Full), now());
        let expected = [
            ("sslscan", 993, None),
            ("testssl", 993, None),
            ("ssh-audit", 2222, None),
            ("whatweb", 8081, Some(false)),
            ("sslscan", 8443, None),
            ("testssl", 8443, None),
            ("whatweb", 8443, Some(true)),
        ];
        assert_eq!(planned(&grown), expected);
        assert!(grown.gaps.is_empty(), "{:?}", grown.gaps);
        for task in &grown.tasks {
            let spec = ScanSpec::try_from(Asked { tool: task.tool, parameters: Some(&task.params) }).unwrap();
            assert!(spec.command(&task.shard).is_ok(), "{task:?}");
            assert_eq!(task.opens.is_empty(), task.tool != "whatweb");
        }
    }

    #[test]
    fn a_quick_plan_does_not_go_deep_and_what_was_not_asked_for_does_not_grow() {
        let seen = [open("192.0.2.7", 443, Some("https")), open("192.0.2.7", 22, Some("ssh"))];
        let web = task("nmap", json!({}), &[WEB_SCAN], &["192.0.2.7"]);
        let grown = grow(&web, &seen, &growing(Plan::Quick), now());
        assert_eq!(planned(&grown), [("whatweb", 443, Some(true))]);
        assert!(grown.tasks[0].opens.is_empty());
        let none = task("nmap", json!({}), &[], &["192.0.2.7"]);
        assert_eq!(grow(&none, &seen, &growing(Plan::Full), now()), Grown::default());
    }

    #[test]
    fn a_known_web_site_is_looked_into_deeper_at_the_same_place() {
        let params = json!({"port": 8443, "tls": true});
        let whatweb = task("whatweb", params, deeper_web_tools(Plan::Full), &["192.0.2.7"]);
        let grown = grow(&whatweb, &[], &growing(Plan::Full), now());
        assert_eq!(planned(&grown), [("ffuf", 8443, Some(true)), ("wapiti", 8443, Some(true))]);
        assert!(grown.tasks.iter().all(|task| task.shard == whatweb.shard && task.opens.is_empty()));
    }

    #[test]
    fn an_address_that_was_not_judged_is_never_planned() {
        let seen = [open("192.0.2.8", 443, Some("https")), open("www.example.com", 443, Some("https"))];
        assert_eq!(grow(&ports(&["192.0.2.7"]), &seen, &growing(Plan::Full), now()), Grown::default());
        let seen = [open("192.0.2.7", 443, Some("https"))];
        let grown = grow(&ports(&["192.0.2.7", "192.0.2.8"]), &seen, &growing(Plan::Full), now());
        for task in grown.tasks {
            assert_eq!(task.shard.addresses, ["192.0.2.7".parse::<std::net::IpAddr>().unwrap()]);
            assert!(task.shard.hosts.iter().all(|host| host.address == task.shard.addresses[0]));
        }
    }

    #[test]
    fn what_is_beyond_a_limit_is_a_gap() {
        let gaps = |grown: &Grown| grown.gaps.iter().map(|one| (one.tool.clone(), one.gap)).collect::<Vec<_>>();
        let seen: Vec<_> = (1..=40).map(|port| open("192.0.2.7", port, Some("http"))).collect();
        let grown = grow(&ports(&["192.0.2.7"]), &seen, &growing(Plan::Full), now());
        assert_eq!((grown.tasks.len(), gaps(&grown)), (32, vec![(WEB_SCAN.to_owned(), Gap::LimitExceeded)]));

        let small = Growing { tasks_left: 3, ..growing(Plan::Full) };
        let grown = grow(&ports(&["192.0.2.7"]), &seen[..20], &small, now());
        assert_eq!((grown.tasks.len(), gaps(&grown)), (3, vec![("whatweb".to_owned(), Gap::LimitExceeded)]));
        let small = Growing { probes_left: 2, ..growing(Plan::Full) };
        let grown = grow(&ports(&["192.0.2.7"]), &seen[..20], &small, now());
        assert_eq!((grown.tasks.len(), grown.probes, grown.gaps.len()), (2, 2, 1));

        let mut below = ports(&["192.0.2.7"]);
        below.shard.target = "shop.www.example.com".to_owned();
        let grown = grow(&below, &seen[..20], &small, now());
        assert_eq!(grown.gaps[0].target, "shop.www.example.com", "of the name, not of the scan's target");
    }

    #[test]
    fn a_port_that_is_told_of_twice_is_planned_once() {
        let seen = [open("192.0.2.7", 4443, None), open("192.0.2.7", 4443, Some("https"))];
        let web = task("nmap", json!({}), &[WEB_SCAN], &["192.0.2.7"]);
        let grown = grow(&web, &seen, &growing(Plan::Full), now());
        assert_eq!(planned(&grown), [("whatweb", 4443, Some(true))]);
    }
}
