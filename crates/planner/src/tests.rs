//! Planning without a network: names are the operator's pins or come from a table.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use picket_domain::{Pool, Target};
use picket_outbound::{Lookup, LookupFailed, OutboundSettings};
use serde_json::json;

use super::*;

/// DNS as a table; a name without a line does not exist.
struct Table(BTreeMap<&'static str, Vec<IpAddr>>);

impl Lookup for Table {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, LookupFailed>> {
        std::future::ready(self.0.get(name).cloned().ok_or(LookupFailed::NoAddress)).boxed()
    }
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn planner(allowed: &[&str]) -> Planner {
    let pins = BTreeMap::from([("Example.com.".to_owned(), IpAddr::from([127, 0, 0, 1]))]);
    let dns = Table(BTreeMap::from([
        ("public.example.net", addresses(&["93.184.215.14", "2606:2800:21f:cb07::1"])),
        ("inside.example.net", addresses(&["93.184.215.14", "10.0.0.7"])),
        ("many.example.net", (0..17).map(|n| IpAddr::from([93, 184, 215, n])).collect()),
    ]));
    let resolver = Resolver::with_lookup(&OutboundSettings::default(), Arc::new(dns));
    let allowed: Vec<_> = allowed.iter().map(|entry| (*entry).to_owned()).collect();
    Planner::new(&pins, resolver, AllowList::parse(&allowed).unwrap())
}

fn asker(subscription: Subscription) -> Asker {
    let now = "2026-01-15T14:30:00Z".parse().unwrap();
    Asker {
        organization_id: OrganizationId::mint(now),
        subscription,
        requested_by: "usr_x".to_owned(),
        grounds: Grounds::default(),
        traceparent: None,
        now,
    }
}

async fn plan(allowed: &[&str], target: &str, parameters: Value) -> Result<NewScan, PlanRefused> {
    let request = ToolRequest { target, tool: "nmap", parameters: Some(&parameters), notify: &[] };
    planner(allowed).plan_tool(&asker(Subscription::Enterprise), request).await
}

/// The field and the code of a refusal.
fn refusal(result: Result<NewScan, PlanRefused>) -> (String, &'static str) {
    let refused = result.unwrap_err();
    let field = if let PlanRefused::Field { field, .. } = &refused { field.clone() } else { "target".to_owned() };
    (field, refused.code())
}

/// The code of a refused target.
fn code(result: Result<NewScan, PlanRefused>) -> &'static str {
    let (field, code) = refusal(result);
    assert_eq!(field, "target");
    code
}

#[tokio::test]
async fn the_published_request_becomes_a_connect_task_and_a_raw_task() {
    let parameters = json!({"scan_type": "-sV -sC -O", "ports": "1-10000", "timing": "-T4"});
    let scan = plan(&["example.com"], "example.com", parameters.clone()).await.unwrap();
    assert_eq!((scan.target.as_str(), scan.tool, &scan.request), ("example.com", Some("nmap"), &parameters));
    let pools: Vec<_> = scan.tasks.iter().map(|task| task.needs.pool).collect();
    assert_eq!(pools, [Pool::Net, Pool::NetRaw]);
    for task in &scan.tasks {
        assert_eq!(task.shard.addresses, addresses(&["127.0.0.1"]));
        assert_eq!(task.shard.hosts[0].name, "example.com");
    }
}

#[tokio::test]
async fn a_pinned_name_is_scanned_only_when_the_operator_lists_it() {
    assert_eq!(code(plan(&[], "example.com", json!({})).await), "target_forbidden");
    assert_eq!(code(plan(&["example.org"], "example.com", json!({})).await), "target_forbidden");
}

#[tokio::test]
async fn t7_one_private_address_spoils_a_name_even_when_it_is_listed() {
    assert_eq!(code(plan(&["inside.example.net"], "inside.example.net", json!({})).await), "target_forbidden");
    assert_eq!(code(plan(&[], "public.example.net", json!({})).await), "target_not_authorized");
    assert_eq!(code(plan(&["*.example.net"], "many.example.net", json!({})).await), "too_many_addresses");
    assert_eq!(code(plan(&["*.example.net"], "absent.example.net", json!({})).await), "target_unresolvable");
}

#[tokio::test]
async fn a_name_of_both_families_becomes_a_task_for_each() {
    let scan = plan(&["public.example.net"], "public.example.net", json!({})).await.unwrap();
    let families: Vec<_> = scan.tasks.iter().map(|task| task.shard.addresses[0].is_ipv6()).collect();
    assert_eq!(families, [false, true]);
}

#[tokio::test]
async fn t1_to_t6_addresses_of_a_forbidden_class_are_refused() {
    for target in ["127.0.0.1", "0.0.0.0", "::1", "::ffff:169.254.169.254", "169.254.169.254", "10.1.2.3", "fe80::1"] {
        assert_eq!(code(plan(&["example.com"], target, json!({})).await), "target_forbidden", "{target}");
    }
}

#[tokio::test]
async fn the_simulator_is_planned_only_where_the_operator_offers_it() {
    let parameters = json!({"tasks": 3, "sleep_ms": 1});
    let request = ToolRequest { target: "127.0.0.1", tool: "simulate", parameters: Some(&parameters), notify: &[] };
    let by = asker(Subscription::Enterprise);
    let off = planner(&["127.0.0.1"]);
    assert_eq!(refusal(off.plan_tool(&by, request).await), ("tool".to_owned(), "unknown_tool"));
    assert!(off.rehearse(&by, request, 1).await.is_err());
    let on = off.simulating(true);
    let scan = on.plan_tool(&by, request).await.unwrap();
    assert!(scan.tasks.len() == 3 && scan.tasks.iter().all(|task| task.needs.pool == Pool::Simulate), "{scan:?}");
    assert_eq!(on.rehearse(&by, request, 1).await.unwrap().runs.len(), 1);
    let elsewhere = ToolRequest { target: "10.1.2.3", ..request };
    assert_eq!(code(on.plan_tool(&by, elsewhere).await), "target_forbidden");
}

#[tokio::test]
async fn t2_to_t12_texts_that_are_no_targets_are_refused() {
    let long = "a".repeat(254);
    for target in [
        "",
        "localhost",
        "0177.0.0.1",
        "2130706433",
        "１２７．０．０．１",
        "[::]",
        "fe80::1%eth0",
        "exаmple.com",
        "a..b.com",
        "example.com.",
        "-oN",
        "a@b.com",
        "example.com/24",
        "example.com\nfoo",
        "http://example.com/",
        "0.0.0.0/0",
        "10.0.0.1/24",
        "10.0.0.0/33",
        "10.0.0.0/0x18",
        "10.0.0-255.1",
        "*.1.1.1",
        "a,b",
        "co.uk",
        &long,
    ] {
        assert_eq!(code(plan(&["example.com"], target, json!({})).await), "invalid_target", "{target}");
    }
}

#[tokio::test]
async fn t12_a_network_wider_than_the_subscription_is_refused_and_others_are_cut() {
    let request = ToolRequest { target: "127.0.0.0/24", tool: "nmap", parameters: None, notify: &[] };
    let planner = planner(&["127.0.0.0/8"]);
    assert_eq!(code(planner.plan_tool(&asker(Subscription::Trial), request).await), "too_many_addresses");
    let scan = planner.plan_tool(&asker(Subscription::Starter), request).await.unwrap();
    assert_eq!(scan.tasks.iter().map(|task| task.shard.addresses.len()).collect::<Vec<_>>(), [256]);
    let wide = ToolRequest { target: "127.0.0.0/20", ..request };
    let scan = planner.plan_tool(&asker(Subscription::Enterprise), wide).await.unwrap();
    assert_eq!(scan.tasks.len(), 16);
}

#[tokio::test]
async fn a_wide_network_is_counted_and_only_its_first_page_is_made() {
    let ports: &[(&str, usize, u64)] = &[("1-1000", 32, 256), ("1-16000", 64, 4_096)];
    for (ports, made, all) in ports {
        let scan = plan(&["127.0.0.0/8"], "127.1.0.0/16", json!({"ports": ports})).await.unwrap();
        assert_eq!((scan.tasks.len(), scan.task_count()), (*made, *all), "{ports}");
        let (mut left, mut seen) = (scan.later, std::collections::BTreeSet::new());
        let mut add = |shard: &Shard| shard.addresses.iter().all(|address| seen.insert(*address));
        assert!(scan.tasks.iter().all(|task| add(&task.shard)));
        while !left.is_empty() {
            let (page, rest) = LaterTasks::page(left);
            assert!(page.iter().flat_map(LaterTasks::shards).all(|shard| add(&shard)), "an address twice");
            left = rest;
        }
        assert_eq!(seen.len(), 65_536);
        assert!(seen.iter().all(|address| matches!(address, IpAddr::V4(v4) if v4.octets()[..2] == [127, 1])));
    }
}

#[tokio::test]
async fn of_a_wide_network_only_what_was_not_looked_at_is_planned_again() {
    let planned = plan(&["127.0.0.0/8"], "127.1.0.0/16", json!({"ports": "1-1000"})).await.unwrap();
    let in_blocks = |shard: &Shard, blocks: &[u8]| {
        let block = |address: &IpAddr| if let IpAddr::V4(v4) = address { v4.octets()[2] } else { 0 };
        shard.addresses.iter().any(|address| blocks.contains(&block(address)))
    };
    let missing: [u8; 5] = [3, 100, 101, 102, 255];
    let now = asker(Subscription::Enterprise).now;
    let again = what_is_missing(planned.clone(), |_, _, shard| !in_blocks(shard, &missing), &[], now);
    assert_eq!((again.tasks.len(), again.task_count()), (1, 5));
    let ranges: Vec<_> = again.later.iter().map(|later| (later.first.to_string(), later.tasks())).collect();
    assert_eq!(ranges, [("127.1.100.0".to_owned(), 3), ("127.1.255.0".to_owned(), 1)]);
    // What grew at an address of a later page is repeated there, and nowhere else.
    let left = |address: &str| LeftOver {
        tool: "sslscan".to_owned(),
        params: json!({"port": 443}),
        target: "127.1.0.0/16".to_owned(),
        addresses: addresses(&[address]),
        opens: Vec::new(),
    };
    let again = what_is_missing(planned, |_, _, _| true, &[left("127.1.200.7"), left("127.2.0.7")], now);
    let tasks: Vec<_> = again.tasks.iter().map(|task| (task.tool, task.shard.addresses.clone())).collect();
    assert_eq!(tasks, [("sslscan", addresses(&["127.1.200.7"]))]);
    assert!(again.later.is_empty());
}

#[tokio::test]
async fn more_ports_mean_smaller_shards() {
    let scan = plan(&["127.0.0.0/8"], "127.0.0.0/24", json!({"ports": "1-10000"})).await.unwrap();
    assert!(scan.tasks.iter().all(|task| task.shard.addresses.len() <= 25));
    let total: usize = scan.tasks.iter().map(|task| task.shard.addresses.len()).sum();
    assert_eq!(total, 256, "no address is lost");
}

#[tokio::test]
async fn a20_only_the_exact_name_of_a_tool_finds_it() {
    for tool in ["nmap;id", "../../bin/sh", "NMAP", "no-such-tool", ""] {
        let request = ToolRequest { target: "example.com", tool, parameters: None, notify: &[] };
        let refused = planner(&["example.com"]).plan_tool(&asker(Subscription::Trial), request).await;
        assert_eq!(refusal(refused), ("tool".to_owned(), "unknown_tool"), "{tool}");
    }
}

#[tokio::test]
async fn names_below_are_looked_for_beside_the_port_scan_and_below_a_name_alone() {
    let all = ScanOptions { include_subdomain: true, port_scan: true, web_scan: true, ssl_scan: true };
    let scan = planner(&["example.com"])
        .plan_options(&asker(Subscription::Trial), "example.com", Plan::Full, all)
        .await
        .unwrap();
    assert_eq!((scan.tool, scan.dialect), (None, Dialect::V2));
    assert_eq!(scan.gaps, []);
    let tasks: Vec<_> = scan.tasks.iter().map(|task| (task.tool, task.opens.join(","))).collect();
    let expected = [("subdomains", "include_subdomain".to_owned()), ("nmap", "web_scan,ssl_scan,ssh-audit".to_owned())];
    assert_eq!(tasks, expected);

    let address = planner(&["192.0.2.7"]);
    let scan = address.plan_options(&asker(Subscription::Trial), "192.0.2.7", Plan::Full, all).await.unwrap();
    let gaps: Vec<_> = scan.gaps.iter().map(|gap| (gap.tool.as_str(), gap.gap)).collect();
    assert_eq!(gaps, [("include_subdomain", Gap::ToolUnavailable)]);
    let request = ToolRequest { target: "192.0.2.7", tool: "subdomains", parameters: None, notify: &[] };
    let refused = address.plan_tool(&asker(Subscription::Trial), request).await;
    assert_eq!(refusal(refused), ("target".to_owned(), "not_a_name"));
    // One search for a name, however many addresses it has.
    let public = ToolRequest { target: "public.example.net", tool: "subdomains", parameters: None, notify: &[] };
    let scan = planner(&["public.example.net"]).plan_tool(&asker(Subscription::Trial), public).await.unwrap();
    assert_eq!((scan.tasks.len(), scan.tasks[0].shard.addresses.len()), (1, 2));
}

#[tokio::test]
async fn a_plan_with_a_port_scan_begins_with_it_alone_and_another_one_at_the_usual_ports() {
    let tools = async |plan, options| {
        let planner = planner(&["example.com"]);
        let scan = planner.plan_options(&asker(Subscription::Trial), "example.com", plan, options).await.unwrap();
        assert!(scan.gaps.is_empty(), "{:?}", scan.gaps);
        scan.tasks.into_iter().map(|task| (task.tool, task.opens.join(","))).collect::<Vec<_>>()
    };
    let is = |tool: &'static str, opens: &str| (tool, opens.to_owned());
    let full = ScanOptions::of(Plan::Full);
    assert_eq!(tools(Plan::Full, full).await, [is("nmap", "web_scan,ssl_scan,ssh-audit")]);
    assert_eq!(tools(Plan::Quick, ScanOptions::of(Plan::Quick)).await, [is("nmap", "")]);
    assert_eq!(tools(Plan::Quick, full).await, [is("nmap", "web_scan,ssl_scan")]);
    let ssl = ScanOptions { ssl_scan: true, ..ScanOptions::of(Plan::Custom) };
    assert_eq!(tools(Plan::Custom, ssl).await, [is("sslscan", "")]);
    let guessed = tools(Plan::Full, ScanOptions { port_scan: false, ..full }).await;
    assert!(guessed.len() > 6 && guessed.iter().all(|(tool, opens)| *tool != "nmap" && opens.is_empty()));
}

#[tokio::test]
async fn a_plan_that_looks_at_nothing_is_refused() {
    let nothing = ScanOptions::of(Plan::Custom);
    let planner = planner(&["example.com"]);
    let refused = planner.plan_options(&asker(Subscription::Trial), "example.com", Plan::Custom, nothing).await;
    assert_eq!(refusal(refused), ("options".to_owned(), "nothing_to_do"));
}

#[tokio::test]
async fn what_is_left_over_of_a_later_stage_is_repeated_at_addresses_that_are_judged_now() {
    let full = ScanOptions::of(Plan::Full);
    let asker = asker(Subscription::Trial);
    let planned = planner(&["example.com"]).plan_options(&asker, "example.com", Plan::Full, full).await.unwrap();
    let left_over = |address: &str, tool: &str| LeftOver {
        tool: tool.to_owned(),
        params: json!({"port": 8443}),
        target: "example.com".to_owned(),
        addresses: addresses(&[address]),
        opens: Vec::new(),
    };
    let missing =
        [left_over("127.0.0.1", "sslscan"), left_over("127.0.0.2", "sslscan"), left_over("127.0.0.1", "gone")];
    let again = what_is_missing(planned.clone(), |_, _, _| true, &missing, asker.now);
    let tools: Vec<_> = again.tasks.iter().map(|task| (task.tool, task.params["port"].as_u64())).collect();
    assert_eq!(tools, [("sslscan", Some(8443))]);
    assert_eq!(again.tasks[0].shard, planned.tasks[0].shard);
    assert_eq!(what_is_missing(planned, |_, _, _| false, &[], asker.now).tasks.len(), 1);
}

#[tokio::test]
async fn what_is_left_over_of_a_found_name_is_not_repeated_as_if_it_were_the_targets() {
    let all = ScanOptions { include_subdomain: true, ..ScanOptions::of(Plan::Full) };
    let asker = asker(Subscription::Trial);
    let planned = planner(&["example.com"]).plan_options(&asker, "example.com", Plan::Full, all).await.unwrap();
    let left_over = |target: &str| LeftOver {
        tool: "sslscan".to_owned(),
        params: json!({"port": 443}),
        target: target.to_owned(),
        addresses: addresses(&["127.0.0.1"]),
        opens: Vec::new(),
    };
    let again = |missing: &[LeftOver]| {
        let again = what_is_missing(planned.clone(), |tool, _, _| tool != "subdomains", missing, asker.now);
        again.tasks.into_iter().map(|task| (task.tool, task.shard.target)).collect::<Vec<_>>()
    };
    let is = |tool, target: &str| (tool, target.to_owned());
    assert_eq!(again(&[left_over("www.example.com")]), [is("subdomains", "example.com")]);
    let both = again(&[left_over("www.example.com"), left_over("example.com")]);
    assert_eq!(both, [is("subdomains", "example.com"), is("sslscan", "example.com")]);
}

#[tokio::test]
async fn each_address_and_port_is_in_exactly_one_task_and_none_is_too_large() {
    let planner = planner(&["127.0.0.0/8"]);
    for (target, ports, tasks) in [
        ("127.0.0.1", "1-65535", 5),
        ("127.0.0.0/28", "1-65535", 5),
        ("127.0.0.0/27", "1-65535", 10),
        ("127.0.0.0/24", "1-1000", 1),
        ("127.0.0.0/26", "1,3,5-40000,50000-65535", 16),
        ("127.0.0.0/25", "1-16000", 8),
        ("127.0.0.0/25", "1-16001", 16),
    ] {
        let parameters = json!({"ports": ports});
        let request = ToolRequest { target, tool: "nmap", parameters: Some(&parameters), notify: &[] };
        let scan = planner.plan_tool(&asker(Subscription::Enterprise), request).await.unwrap();
        assert_eq!(scan.tasks.len(), tasks, "{target} {ports}");
        let mut covered: BTreeMap<IpAddr, Vec<u16>> = BTreeMap::new();
        for task in &scan.tasks {
            let list = task.params["ports"].as_str().unwrap();
            let each: Vec<u16> = list
                .split(',')
                .flat_map(|range| {
                    let (low, high) = range.split_once('-').unwrap_or((range, range));
                    low.parse().unwrap()..=high.parse::<u16>().unwrap()
                })
                .collect();
            assert!(each.len() * task.shard.addresses.len() <= 256_000, "{target} {ports}: {list}");
            for address in &task.shard.addresses {
                covered.entry(*address).or_default().extend(&each);
            }
            // The worker reads it as the very same run.
            let spec = ScanSpec::try_from(Asked { tool: task.tool, parameters: Some(&task.params) }).unwrap();
            assert_eq!(spec.shapes()[0].params, task.params);
        }
        let whole: u64 = covered.values().map(|ports| ports.len() as u64).sum();
        assert_eq!(whole, scan.probes, "{target} {ports}");
        for ports in covered.values_mut() {
            let count = ports.len();
            ports.sort_unstable();
            ports.dedup();
            assert_eq!(ports.len(), count, "{target}: a port is in two tasks");
        }
        assert_eq!(covered.len(), usize::try_from(Target::parse(target).unwrap().address_count()).unwrap());
    }
}

#[tokio::test]
async fn a_scan_that_only_looks_names_what_may_be_run_under_it() {
    let looks = json!({"heartbleed": false});
    let request = ToolRequest { target: "public.example.net", tool: "sslscan", parameters: Some(&looks), notify: &[] };
    let scan = planner(&[]).plan_tool(&asker(Subscription::Trial), request).await.unwrap();
    assert_eq!(scan.authority.basis, picket_domain::Basis::Passive);
    assert_eq!(scan.authority.only, [json!({"tool": "sslscan", "params": scan.tasks[0].params})]);
    let listed = planner(&["public.example.net"]).plan_tool(&asker(Subscription::Trial), request).await.unwrap();
    assert_eq!((listed.authority.basis, listed.authority.only.len()), (picket_domain::Basis::Operator, 0));
}
