//! Names below `example.com`, with DNS as a table, a TLS site of ours on loopback, and addresses that nobody calls.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use futures_util::{FutureExt, future::BoxFuture};
use picket_domain::{
    AllowList, AuthorizationId, Exclusion, Fence, Ground, Grounds, OrganizationId, PinnedHost, Plan, ProofId,
    ProofMethod, Reach, ScanId, Subscription,
};
use picket_outbound::{Lookup, OutboundSettings, Resolver};
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;

mod whole;

/// How a table answers to what is not in it.
#[derive(Clone, Copy)]
enum Otherwise {
    Nothing,
    Same,
    Changing,
    /// An address that nobody may scan.
    Forbidden,
    Silence,
    /// Usual names alone are silent.
    Lame,
}

struct Table {
    names: BTreeMap<&'static str, Vec<IpAddr>>,
    otherwise: Otherwise,
    asked: AtomicU8,
}

impl Lookup for Table {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, LookupFailed>> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = match (self.names.get(name), self.otherwise) {
            (Some(addresses), _) => Ok(addresses.clone()),
            (None, Otherwise::Nothing) => Err(LookupFailed::NoAddress),
            (None, Otherwise::Same) => Ok(addresses(&["93.184.215.99"])),
            (None, Otherwise::Changing) => Ok(vec![IpAddr::from([93, 184, 215, number])]),
            (None, Otherwise::Forbidden) => Ok(addresses(&["10.0.0.7"])),
            // A probe has a label that no usual name is as long as.
            (None, Otherwise::Lame) if name.len() > 32 => Err(LookupFailed::NoAddress),
            (None, Otherwise::Silence | Otherwise::Lame) => Err(LookupFailed::Timeout),
        };
        std::future::ready(answer).boxed()
    }
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn now() -> Timestamp {
    "2026-01-15T14:30:00Z".parse().unwrap()
}

fn planner(names: &[(&'static str, &[&str])], otherwise: Otherwise) -> Planner {
    let names = names.iter().map(|(name, texts)| (*name, addresses(texts))).collect();
    over(Arc::new(Table { names, otherwise, asked: AtomicU8::new(0) }))
}

fn over(table: Arc<Table>) -> Planner {
    let resolver = Resolver::with_lookup(&OutboundSettings::default(), table);
    Planner::new(&BTreeMap::new(), resolver, AllowList::default())
}

fn proof(method: ProofMethod) -> Ground {
    let target = Target::parse("example.com").unwrap();
    Ground { basis: Basis::Proof(ProofId::mint(now())), reach: Reach::of_proof(method, &target), target }
}

fn asker(grounds: Vec<Ground>) -> Asker {
    Asker {
        organization_id: OrganizationId::mint(now()),
        subscription: Subscription::Enterprise,
        requested_by: "usr_x".to_owned(),
        // The site of the tests is on loopback, which the operator has opened.
        grounds: Grounds { grounds, ranges: vec!["127.0.0.1/32".parse().unwrap()], ..Grounds::default() },
        traceparent: None,
        now: now(),
    }
}

/// A server whose certificate is for these names.
async fn site(names: &[&str]) -> SocketAddr {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let signed = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ended = acceptor.accept(stream).await;
        }
    });
    socket
}

fn shard() -> Shard {
    let address = IpAddr::from([127, 0, 0, 1]);
    let hosts = vec![PinnedHost { name: "example.com".to_owned(), address }];
    Shard { target: "example.com".to_owned(), addresses: vec![address], hosts }
}

async fn search(planner: &Planner, asker: &Asker, certified: &[&str]) -> Result<Names, NotSearched> {
    let socket = site(certified).await;
    let bases: Vec<Basis> = asker.grounds.grounds.iter().map(|ground| ground.basis).collect();
    let relies = Authority { also: bases[1..].to_vec(), ..Authority::of(bases[0]) };
    planner.search(asker, &shard(), (socket.port(), &relies)).await
}

fn found(names: &Names) -> Vec<String> {
    names.found.iter().map(|scope| scope.target.to_string()).collect()
}

fn refused(names: &Names) -> Vec<(&str, Gap)> {
    names.refused.iter().map(|gap| (gap.target.as_str(), gap.gap)).collect()
}

#[tokio::test]
async fn usual_names_and_those_of_the_certificate_are_found_and_each_is_judged() {
    let planner = planner(
        &[
            ("www.example.com", &["93.184.215.14"]),
            ("mail.example.com", &["93.184.215.14", "10.0.0.7"]),
            ("a.b.example.com", &["93.184.215.15"]),
            ("secret.example.com", &["93.184.215.16"]),
            ("example.org", &["93.184.215.17"]),
            ("badexample.com", &["93.184.215.18"]),
        ],
        Otherwise::Nothing,
    );
    let mut asker = asker(vec![proof(ProofMethod::DnsTxt)]);
    asker.grounds.exclusions = vec![Exclusion::parse("secret.example.com").unwrap()];
    let certified =
        ["example.com", "A.b.example.com", "*.example.com", "secret.example.com", "example.org", "badexample.com"];
    let names = search(&planner, &asker, &certified).await.unwrap();
    assert_eq!(found(&names), ["a.b.example.com", "www.example.com"]);
    let expected = [("secret.example.com", Gap::TargetExcluded), ("mail.example.com", Gap::TargetForbidden)];
    assert_eq!(refused(&names), expected);
    assert_eq!(names.found[1].addresses, addresses(&["93.184.215.14"]));
    assert!(!names.is_wildcard && names.asked > 100, "{}", names.asked);
    let NameLine::Name { is_certified, .. } = &names.lines()[0] else { panic!("no name") };
    assert!(is_certified);
}

#[tokio::test]
async fn a_domain_that_answers_to_every_name_has_only_those_that_differ() {
    let known: &[(&'static str, &[&str])] = &[("www.example.com", &["93.184.215.14"])];
    let asker = asker(vec![proof(ProofMethod::DnsTxt)]);
    let same = search(&planner(known, Otherwise::Same), &asker, &["shop.example.com"]).await.unwrap();
    assert_eq!(
        (found(&same), same.is_wildcard),
        (vec!["shop.example.com".to_owned(), "www.example.com".to_owned()], true)
    );
    let changing = search(&planner(known, Otherwise::Changing), &asker, &["shop.example.com"]).await.unwrap();
    assert_eq!((found(&changing), changing.is_wildcard), (vec!["shop.example.com".to_owned()], true));
    let silent = search(&planner(known, Otherwise::Silence), &asker, &[]).await;
    assert_eq!(silent.unwrap_err(), NotSearched::Unanswered);
}

#[tokio::test]
async fn a_name_stands_on_the_grounds_of_its_scan_and_the_scan_on_those_of_all_its_names() {
    let planner = planner(&[("www.example.com", &["93.184.215.14"])], Otherwise::Nothing);
    // A file proves that very host; whoever has proven more by now has not proven it for this scan.
    let (file, record) = (proof(ProofMethod::HttpFile), proof(ProofMethod::DnsTxt));
    let relies = Authority::of(file.basis);
    let both = asker(vec![file.clone(), record.clone()]);
    let names = planner.search(&both, &shard(), (1, &relies)).await.unwrap();
    assert_eq!((found(&names), refused(&names)), (Vec::new(), vec![("www.example.com", Gap::TargetNotAuthorized)]));

    let written = Ground {
        basis: Basis::Authorization(AuthorizationId::mint(now())),
        reach: Reach::Below,
        target: Target::parse("example.com").unwrap(),
    };
    let (record_basis, written_basis) = (record.basis, written.basis);
    let names = search(&planner, &asker(vec![file, record, written]), &[]).await.unwrap();
    assert_eq!(found(&names), ["www.example.com"]);
    let ports = ScanOptions { port_scan: true, include_subdomain: true, ..ScanOptions::of(Plan::Custom) };
    let grown = grow_names(&task(), &names, &growing(ports), now());
    assert_eq!(grown.authority.unwrap().grounds().collect::<Vec<_>>(), [record_basis, written_basis]);
}

#[tokio::test]
async fn a_flood_of_names_is_bounded() {
    let leaked = |n: u16| -> &'static str { Box::leak(format!("n{n:03}.example.com").into_boxed_str()) };
    let certified: Vec<&'static str> = (0..180).map(leaked).collect();
    let own: Vec<String> = (0..180).map(|n| format!("93.184.215.{n}")).collect();
    let own: Vec<[&str; 1]> = own.iter().map(|address| [address.as_str()]).collect();
    let known: Vec<(&'static str, &[&str])> =
        certified.iter().zip(&own).map(|(name, address)| (*name, address.as_slice())).collect();
    let asker = asker(vec![proof(ProofMethod::DnsTxt)]);
    let names = search(&planner(&known, Otherwise::Nothing), &asker, &certified).await.unwrap();
    assert_eq!((names.found.len(), names.refused.len()), (100, 80));
    assert!(names.refused.iter().all(|one| one.gap == Gap::LimitExceeded));
    let small = Asker { subscription: Subscription::Trial, ..asker };
    let names = search(&planner(&known, Otherwise::Nothing), &small, &certified).await.unwrap();
    assert_eq!(names.found.len(), usize::try_from(Subscription::Trial.limits().addresses).unwrap() - 1);
    assert!(!names.is_whole);
    let shared: Vec<(&'static str, &[&str])> =
        certified.iter().take(50).map(|name| (*name, ["93.184.215.14"].as_slice())).collect();
    let names = search(&planner(&shared, Otherwise::Nothing), &small, &certified[..50]).await.unwrap();
    assert_eq!((names.found.len(), names.refused.len()), (50, 0), "one address counts once");
    assert!(names.is_whole);
}

fn names(found: &[(&str, &str)]) -> Names {
    let scope = |(name, address): &(&str, &str)| Scope {
        target: Target::parse(name).unwrap(),
        addresses: addresses(&[address]),
        authority: Authority::of(Basis::Operator),
    };
    Names {
        found: found.iter().map(scope).collect(),
        refused: Vec::new(),
        authority: Authority::of(Basis::Operator),
        asked: 0,
        unanswered: 0,
        is_whole: true,
        is_wildcard: false,
        certified: BTreeSet::new(),
    }
}

fn task() -> ClaimedTask {
    ClaimedTask {
        fence: Fence { task_id: TaskId::mint(now()), attempt: 1 },
        organization_id: OrganizationId::mint(now()),
        scan_id: ScanId::mint(now()),
        tool: DISCOVERY.slug().to_owned(),
        params: json!({}),
        shard: shard(),
        opens: vec![INCLUDE_SUBDOMAIN.to_owned()],
        limits: picket_domain::RunLimits::default(),
        failures: 0,
        traceparent: None,
    }
}

fn growing(options: ScanOptions) -> Growing {
    let request = options.to_json();
    Growing { plan: Plan::Full, request, tasks_left: 1_000, probes_left: 100_000 }
}

#[test]
fn a_new_address_is_scanned_for_ports_and_a_known_one_where_services_usually_are() {
    let all = ScanOptions { include_subdomain: true, ..ScanOptions::of(Plan::Full) };
    let names =
        names(&[("a.example.com", "192.0.2.7"), ("b.example.com", "192.0.2.7"), ("c.example.com", "127.0.0.1")]);
    let grown = grow_names(&task(), &names, &growing(all), now());
    let of = |name: &str| -> Vec<(&str, String)> {
        let tasks = grown.tasks.iter().filter(|task| task.shard.target == name);
        tasks.map(|task| (task.tool, task.opens.join(","))).collect()
    };
    assert_eq!(of("a.example.com"), [("nmap", "web_scan,ssl_scan,ssh-audit".to_owned())]);
    for name in ["b.example.com", "c.example.com"] {
        let tools = of(name);
        assert!(tools.len() > 5 && tools.iter().all(|(tool, opens)| *tool != "nmap" && opens.is_empty()), "{tools:?}");
    }
    for task in &grown.tasks {
        assert_eq!(task.shard.hosts.len(), 1);
        assert_eq!(task.shard.hosts[0].name, task.shard.target);
    }
    assert_eq!(grown.authority, Some(names.authority));
}

#[test]
fn names_alone_grow_nothing_and_what_does_not_fit_is_a_gap() {
    let found = names(&[("a.example.com", "192.0.2.7"), ("b.example.com", "192.0.2.8")]);
    let alone = ScanOptions { include_subdomain: true, ..ScanOptions::of(Plan::Custom) };
    assert_eq!(grow_names(&task(), &found, &growing(alone), now()), Grown::default());
    let ports = ScanOptions { port_scan: true, ..alone };
    let small = Growing { probes_left: 1_999, ..growing(ports) };
    let grown = grow_names(&task(), &found, &small, now());
    assert_eq!((grown.tasks.len(), grown.probes), (1, 1_000));
    assert_eq!((grown.gaps[0].target.as_str(), grown.gaps[0].gap), ("b.example.com", Gap::LimitExceeded));
}

#[tokio::test]
async fn t7_only_an_address_that_the_name_still_leads_to_is_there() {
    let pinned = |texts: &[&str]| {
        let addresses = addresses(texts);
        let pin = |address: &IpAddr| PinnedHost { name: "example.com".to_owned(), address: *address };
        Shard { target: "example.com".to_owned(), hosts: addresses.iter().map(pin).collect(), addresses }
    };
    let both = pinned(&["93.184.215.14", "93.184.215.15"]);
    let gone = async |now: &[&str], otherwise| {
        let known: &[(&'static str, &[&str])] = &[("example.com", now)];
        planner(if now.is_empty() { &[] } else { known }, otherwise).gone(&both).await
    };
    assert!(gone(&["93.184.215.15", "93.184.215.14"], Otherwise::Nothing).await.is_empty());
    // A further address is none that was judged, and none that is scanned.
    assert!(gone(&["93.184.215.14", "93.184.215.15", "10.0.0.1"], Otherwise::Nothing).await.is_empty());
    let one = gone(&["93.184.215.15"], Otherwise::Nothing).await;
    assert_eq!(one, addresses(&["93.184.215.14"]));
    assert_eq!(crate::without(&both, &one), Some(pinned(&["93.184.215.15"])));
    for (now, otherwise) in [(["10.0.0.1"].as_slice(), Otherwise::Nothing), (&[], Otherwise::Nothing)] {
        let all = gone(now, otherwise).await;
        assert_eq!(all, both.addresses, "rebound, or expired");
        assert_eq!(crate::without(&both, &all), None);
    }
    assert!(gone(&[], Otherwise::Silence).await.is_empty(), "an outage of name servers says nothing");
    let address = Shard { hosts: Vec::new(), ..both.clone() };
    assert!(planner(&[], Otherwise::Nothing).gone(&address).await.is_empty());
    let pins = BTreeMap::from([("example.com".to_owned(), IpAddr::from([93, 184, 215, 14]))]);
    let silent = planner(&[], Otherwise::Nothing);
    assert!(Planner { pins, ..silent }.gone(&both).await.is_empty(), "the operator's pins are not asked of DNS");
}
