//! A real tool in a real root: nmap from `PICKET_TOOLS_ROOT` finds a service on the loopback.

use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;

use picket_domain::{Invocation, Network, PinnedHost};
use picket_sandbox::{End, Sandbox};

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
    let words = format!("--unprivileged -sT -sV -Pn -p {port} -oX - app.example.com");
    let invocation = Invocation {
        args: words.split(' ').map(str::to_owned).collect(),
        hosts: vec![PinnedHost { name: "app.example.com".into(), address: [127, 0, 0, 1].into() }],
        network: Network::Connect,
        ..Invocation::of("nmap", "/usr/bin/nmap")
    };
    let ran = finish(sandbox.start(0, &invocation, &small()).unwrap());
    assert_eq!(ran.outcome.end, End::Exited(0), "{}", ran.outcome.stderr);
    assert!(ran.text.contains("product=\"OpenSSH\" version=\"7.4\""), "{}", ran.text);
    assert!(ran.text.trim_end().ends_with("</nmaprun>"), "{}", ran.text);
}
