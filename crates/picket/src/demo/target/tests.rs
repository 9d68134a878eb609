//! The target by hand, and as a real nmap sees it.

use std::{collections::BTreeSet, io::BufReader, net::Ipv4Addr};

use hyper::{Method, Request, StatusCode};
use picket_sandbox::{End, Limits, Sandbox, SandboxSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

async fn target() -> DemoTarget {
    DemoTarget::start(LOOPBACK, &Shutdown::new()).await.unwrap()
}

async fn connect(target: &DemoTarget, name: &str) -> TcpStream {
    let service = target.services().iter().find(|service| service.name == name).unwrap();
    TcpStream::connect(service.address).await.unwrap()
}

async fn hear(stream: &mut TcpStream) -> String {
    let mut heard = [0; 512];
    let count = stream.read(&mut heard).await.unwrap();
    String::from_utf8_lossy(&heard[..count]).into_owned()
}

#[tokio::test]
async fn the_target_listens_on_loopback_alone() {
    for address in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), "192.0.2.1".parse().unwrap()] {
        let error = DemoTarget::start(address, &Shutdown::new()).await.unwrap_err();
        assert!(matches!(error, TargetError::NotLoopback(found) if found == address));
    }
    let target = target().await;
    assert!(target.services().iter().all(|service| service.address.ip().is_loopback()));
    assert_eq!(target.ports().split(',').count(), 8);
}

#[tokio::test]
async fn the_target_ends_with_the_shutdown() {
    let shutdown = Shutdown::new();
    let mut target = DemoTarget::start(LOOPBACK, &shutdown).await.unwrap();
    let address = target.services()[0].address;
    shutdown.stop();
    while target._tasks.join_next().await.is_some() {}
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn everybody_may_see_the_files() {
    let target = target().await;
    let mut stream = connect(&target, "ftp").await;
    assert_eq!(hear(&mut stream).await, "220 (vsFTPd 2.3.4)\r\n");
    for (said, heard) in
        [("LIST", "530"), ("USER ftp", "331"), ("PASS x", "230"), ("LIST", "425"), ("PORT 1,2,3,4,5,6", "500")]
    {
        stream.write_all(format!("{said}\r\n").as_bytes()).await.unwrap();
        assert!(hear(&mut stream).await.starts_with(heard), "{said}");
    }
    stream.write_all(b"EPSV\r\n").await.unwrap();
    let answer = hear(&mut stream).await;
    let port: u16 = answer.split('|').nth(3).unwrap().parse().unwrap();
    stream.write_all(b"LIST\r\n").await.unwrap();
    let mut listing = String::new();
    TcpStream::connect((LOOPBACK, port)).await.unwrap().read_to_string(&mut listing).await.unwrap();
    assert!(listing.contains("customers.csv"));
}

#[tokio::test]
async fn a_line_without_end_ends_the_conversation() {
    let target = target().await;
    let mut stream = connect(&target, "smtp").await;
    stream.write_all(&[b'a'; 2000]).await.unwrap();
    let mut heard = Vec::new();
    // A reset is as good an end as any: what was not read is thrown away.
    let _ended = stream.read_to_end(&mut heard).await;
    assert!(!String::from_utf8_lossy(&heard).contains("500"));
}

#[tokio::test]
async fn the_screen_asks_for_no_password() {
    let target = target().await;
    let mut stream = connect(&target, "vnc").await;
    assert_eq!(hear(&mut stream).await, "RFB 003.008\n");
    stream.write_all(b"RFB 003.008\n").await.unwrap();
    let mut types = [0; 2];
    stream.read_exact(&mut types).await.unwrap();
    assert_eq!(types, [1, 1]);
}

#[test]
fn a_site_answers_as_it_announces() {
    let ask = |site, method: Method, path: &str| {
        web::answer(
            site,
            &Request::builder().method(method).uri(path).header("x-said", "this").body(String::new()).unwrap(),
        )
    };
    assert_eq!(ask(&sites::SHOP, Method::GET, "/.git/HEAD").status(), StatusCode::OK);
    assert_eq!(ask(&sites::SHOP, Method::GET, "/.git").status(), StatusCode::NOT_FOUND);
    assert_eq!(ask(&sites::SHOP, Method::TRACE, "/").status(), StatusCode::OK);
    assert_eq!(ask(&sites::FILES, Method::TRACE, "/").status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(ask(&sites::FILES, Method::PUT, "/x").status(), StatusCode::FORBIDDEN);
    assert_eq!(ask(&sites::ROUTER, Method::GET, "/").status(), StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&sites::SHOP, Method::GET, "/").headers()["server"], "Apache/2.4.49 (Unix)");
}

fn sandbox() -> Sandbox {
    let settings = SandboxSettings {
        bwrap: picket_testkit::required("PICKET_BWRAP").into(),
        tools_root: picket_testkit::required("PICKET_TOOLS_ROOT").into(),
        first_slot_uid: SandboxSettings::FIRST_SLOT_UID,
        slirp: None,
        netd: None,
        external_egress: true,
        prepared: 0,
        cgroup: None,
    };
    Sandbox::new(settings).unwrap()
}

/// What a real nmap in a real sandbox says of the target, in the words of our rules. Takes as long as nmap does.
#[tokio::test]
async fn nmap_finds_what_is_weak() {
    let target = target().await;
    let params = serde_json::json!({ "scan_type": "-sV -sC", "ports": target.ports(), "timing": "-T4" });
    let tool = picket_scanners::find("nmap").unwrap();
    let shape = tool.shapes(Some(&params)).unwrap().remove(0);
    let shard = picket_domain::Shard { target: LOOPBACK.to_string(), addresses: vec![LOOPBACK], hosts: Vec::new() };
    let invocation = tool.invocation(&shape.params, &shard).unwrap();
    let sandbox = sandbox();
    let route = sandbox.route_at(picket_domain::SandboxLevel::L2, &[]).unwrap();
    let mut run = sandbox.start_by(&route, 9_000, &invocation, &Limits::default()).unwrap();
    let mut output = BufReader::new(run.stdout().unwrap());
    let reading = tokio::task::spawn_blocking(move || {
        let mut found = Vec::new();
        let parsed =
            tool.parse(&mut output, &picket_scanners::Context::default(), &mut |observation| found.push(observation));
        (parsed, found)
    });
    assert_eq!(run.wait().await.end, End::Exited(0));
    let (parsed, found) = reading.await.unwrap();
    for one in &found {
        println!("{:8} {:32} {} {}", one.severity.name(), one.rule, one.location, one.title);
    }
    assert!(parsed.is_complete(), "{}", parsed.reason);
    let rules: BTreeSet<&str> = found.iter().map(|one| one.rule.as_str()).collect();
    for rule in [
        "port.open",
        "ftp.anonymous_login",
        "vnc.no_authentication",
        "http.git_exposed",
        "http.trace_enabled",
        "http.risky_method",
        "http.directory_listing",
        "http.basic_auth_without_tls",
        "http.cookie_without_httponly",
        "http.robots_txt",
        "http.title",
        "tls.certificate_expired",
        "tls.certificate_self_signed",
    ] {
        assert!(rules.contains(rule), "{rule} was not found");
    }
}
