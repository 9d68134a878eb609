//! A real tool in a real root: nmap from `PICKET_TOOLS_ROOT` finds a service on the loopback.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::thread;

use picket_domain::{Egress, InputFile, Invocation, Network, PinnedHost, SandboxLevel, TopPorts};
use picket_sandbox::{End, Sandbox};

use crate::levels::levels;
use crate::room::{finish, settings, small, variable};

#[test]
fn nmap_finds_a_service_by_its_pinned_name() {
    let Some(tools) = variable("PICKET_TOOLS_ROOT").map(PathBuf::from).filter(|tools| tools.join("nmap").is_dir())
    else {
        println!("no nmap below PICKET_TOOLS_ROOT: not tried");
        return;
    };
    let sandbox = Sandbox::new(settings(&tools)).unwrap();
    assert!(sandbox.has_tool("nmap"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_7.4\r\n");
        }
    });
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    for level in levels(&sandbox) {
        let route = sandbox.route_at(level, &[loopback]).unwrap();
        let inside = route.inside(loopback);
        let words = format!("--unprivileged -sT -sV -Pn -p {port} -oX - app.example.com");
        let invocation = Invocation {
            args: words.split(' ').map(str::to_owned).collect(),
            hosts: vec![PinnedHost { name: "app.example.com".into(), address: inside }],
            network: Network::Connect,
            egress: Egress { addresses: vec![inside], ports: vec![(port, port)] },
            ..Invocation::of("nmap", "/usr/bin/nmap")
        };
        let ran = finish(sandbox.start_by(&route, 0, &invocation, &small()).unwrap());
        assert_eq!(ran.outcome.end, End::Exited(0), "{}", ran.outcome.stderr);
        assert!(ran.text.contains("product=\"OpenSSH\" version=\"7.4\""), "{} {}", level.name(), ran.text);
        assert!(ran.text.trim_end().ends_with("</nmaprun>"), "{}", ran.text);
    }
}

/// Without ports of its own a run opens those that nmap will try, as nmap chooses them, and no other of the host.
#[test]
fn the_most_common_ports_of_a_stand_in_are_open_and_no_list_is_none() {
    let Some(tools) = variable("PICKET_TOOLS_ROOT").map(PathBuf::from).filter(|tools| tools.join("nmap").is_dir())
    else {
        println!("no nmap below PICKET_TOOLS_ROOT: not tried");
        return;
    };
    let sandbox = Sandbox::new(settings(&tools)).unwrap();
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    for level in levels(&sandbox).into_iter().filter(|level| *level < SandboxLevel::L2) {
        let route = sandbox.route_at(level, &[loopback]).unwrap();
        let inside = route.inside(loopback);
        let scan = |count: u16, top_ports| {
            let words = format!("--unprivileged -sT -n -Pn -T4 --max-retries 0 --top-ports {count} -oX - {inside}");
            let invocation = Invocation {
                args: words.split(' ').map(str::to_owned).collect(),
                network: Network::Connect,
                egress: Egress { addresses: vec![inside], ports: vec![] },
                top_ports,
                ..Invocation::of("nmap", "/usr/bin/nmap")
            };
            let ran = finish(sandbox.start_by(&route, 0, &invocation, &small()).unwrap());
            assert_eq!(ran.outcome.end, End::Exited(0), "{}", ran.outcome.stderr);
            ran.text
        };
        // A port that nmap tries and the filter does not open would be called filtered.
        for count in [1, 100, 1000] {
            let ranking = "/usr/share/nmap/nmap-services";
            let text = scan(count, Some(TopPorts { count, protocol: "tcp", ranking }));
            assert!(text.contains("<extraports state=\"closed\"") || text.contains("<port "), "{text}");
            assert!(!text.contains("state=\"filtered\""), "{} {count}: {text}", level.name());
        }
        let text = scan(20, None);
        assert_eq!(text.matches("state=\"filtered\"").count(), 20, "{}: {text}", level.name());
    }
}

/// What a script of nmap can do (S27): it reads the root that has nothing to tell, and there is no program to run.
const SCRIPT: &[u8] = br#"
description = "reads, runs and writes"
categories = {"safe"}
prerule = function() return true end
action = function()
  local file = io.open("/etc/passwd")
  local passwd = file and file:read("*a") or "unreadable"
  local ok, how, code = os.execute("id")
  local pipe = io.popen("id")
  local said = pipe and pipe:read("*a") or ""
  local root = io.open("/usr/evil", "w")
  return ("passwd[%s] execute[%s] popen[%s] write[%s]"):format(passwd, tostring(code), said, tostring(root))
end
"#;

#[test]
fn a_script_of_nmap_reads_nothing_of_the_host_and_runs_nothing() {
    let tools = variable("PICKET_TOOLS_ROOT").map(PathBuf::from).filter(|tools| tools.join("nmap/input").is_dir());
    let Some(tools) = tools else {
        println!("no nmap with a place for input files below PICKET_TOOLS_ROOT: not tried");
        return;
    };
    let sandbox = Sandbox::new(settings(&tools)).unwrap();
    let invocation = Invocation {
        args: ["--script", "/input/evil.nse", "-oX", "-"].map(str::to_owned).into(),
        input_files: vec![InputFile { path: "/input/evil.nse", content: SCRIPT.into() }],
        ..Invocation::of("nmap", "/usr/bin/nmap")
    };
    let ran = finish(sandbox.start(0, &invocation, &small()).unwrap());
    assert_eq!(ran.outcome.end, End::Exited(0), "{}", ran.outcome.stderr);
    for found in ["passwd[tool:x:65534:", "execute[127]", "popen[]", "write[nil]"] {
        assert!(ran.text.contains(found), "{found}: {}", ran.text);
    }
    assert!(!ran.text.contains("root:x:0"), "{}", ran.text);
}
