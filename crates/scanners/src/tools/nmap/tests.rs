//! Parameters and command lines: the hostile cases of `docs/security.md` by their numbers.

use picket_domain::{Network, PinnedHost, Pool, SandboxLevel};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn shard(addresses: &[&str]) -> Shard {
    Shard {
        target: "example.com".to_owned(),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        hosts: Vec::new(),
    }
}

/// The command line of the only task that `params` ask for.
fn args(params: &Value) -> Vec<String> {
    let shapes = Adapter.shapes(Some(params)).unwrap();
    assert_eq!(shapes.len(), 1, "{shapes:?}");
    Adapter.invocation(&shapes[0].params, &shard(&["192.0.2.1"])).unwrap().args
}

/// The canonical flags and the pool of every task that `params` ask for.
fn tasks(params: &Value) -> Vec<(String, Pool)> {
    let shapes = Adapter.shapes(Some(params)).unwrap();
    shapes.iter().map(|shape| (shape.params["scan_type"].as_str().unwrap().to_owned(), shape.needs.pool)).collect()
}

/// Refused when a client sends it, and again when it comes from the queue.
fn refused(params: &Value, field: &str) {
    let error = Adapter.shapes(Some(params)).expect_err(&params.to_string());
    assert_eq!(error.field, field, "{params}");
    assert_eq!(Adapter.invocation(params, &shard(&["192.0.2.1"])), Err(error));
}

fn refused_scan_types(texts: &[&str]) {
    for text in texts {
        refused(&json!({ "scan_type": text }), "parameters.scan_type");
    }
}

#[test]
fn the_published_example_is_a_connect_task_and_a_raw_one() {
    let params = json!({ "scan_type": "-sV -sC -O", "ports": "1-10000", "timing": "-T4" });
    let shapes = Adapter.shapes(Some(&params)).unwrap();
    assert_eq!(shapes.len(), 2);
    assert_eq!(shapes[0].params, json!({ "scan_type": "-sT -sV -sC", "ports": "1-10000", "timing": 4 }));
    assert_eq!(shapes[1].params, json!({ "scan_type": "-O", "ports": "1-10000", "timing": 4 }));
    assert_eq!((shapes[0].needs.pool, shapes[0].needs.level), (Pool::Net, SandboxLevel::L2));
    assert_eq!((shapes[1].needs.pool, shapes[1].needs.level), (Pool::NetRaw, SandboxLevel::L0));
    assert_eq!((shapes[0].ports, shapes[1].ports), (10_000, 10_000));
}

#[test]
fn flags_that_need_more_become_tasks_of_their_own() {
    for (flags, expected) in [
        ("-sV", vec![("-sT -sV", Pool::Net)]),
        ("-Pn", vec![("-sT", Pool::Net)]),
        ("-sT", vec![("-sT", Pool::Net)]),
        ("-O", vec![("-O", Pool::NetRaw)]),
        ("-sS", vec![("-sS", Pool::NetRaw)]),
        ("-sS -O", vec![("-sS -O", Pool::NetRaw)]),
        ("-sS -sV", vec![("-sT -sV", Pool::Net), ("-sS", Pool::NetRaw)]),
        ("-sU -sV", vec![("-sU -sV", Pool::NetRaw)]),
        ("-sT -sU", vec![("-sT", Pool::Net), ("-sU", Pool::NetRaw)]),
        ("-sU -sV -O", vec![("-O", Pool::NetRaw), ("-sU -sV", Pool::NetRaw)]),
        ("-sS -sU -sC", vec![("-sT -sC", Pool::Net), ("-sS", Pool::NetRaw), ("-sU -sC", Pool::NetRaw)]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|(flags, pool)| (flags.to_owned(), pool)).collect();
        assert_eq!(tasks(&json!({ "scan_type": flags })), expected, "{flags}");
    }
    refused(&json!({ "scan_type": "-sT -sS" }), "parameters.scan_type");
}

#[test]
fn without_parameters_the_most_common_ports_are_scanned() {
    let shapes = Adapter.shapes(None).unwrap();
    assert_eq!(shapes, Adapter.shapes(Some(&json!({}))).unwrap());
    assert_eq!(shapes[0].params, json!({ "scan_type": "-sT", "timing": 3, "top_ports": 1000 }));
}

#[test]
fn the_command_line_is_written_by_us() {
    let params = json!({ "scan_type": "-sV -sC -Pn", "ports": "443,80,81", "timing": "T4", "scripts": ["sslv2", "http-git"] });
    let shapes = Adapter.shapes(Some(&params)).unwrap();
    let mut shard = shard(&["192.0.2.1", "192.0.2.2"]);
    shard.hosts = vec![PinnedHost { name: "example.com".to_owned(), address: shard.addresses[0] }];
    let invocation = Adapter.invocation(&shapes[0].params, &shard).unwrap();
    assert_eq!((invocation.tool, invocation.program, invocation.network), ("nmap", "/usr/bin/nmap", Network::Connect));
    assert_eq!(invocation.hosts, shard.hosts);
    insta::assert_json_snapshot!(invocation.args);
}

#[test]
fn raw_tasks_say_that_they_are_privileged() {
    for (flags, expected) in [("-O", "--privileged -sS -O"), ("-sS", "--privileged -sS"), ("-sU", "--privileged -sU")] {
        let shapes = Adapter.shapes(Some(&json!({ "scan_type": flags }))).unwrap();
        let invocation = Adapter.invocation(&shapes[0].params, &shard(&["192.0.2.1"])).unwrap();
        assert_eq!(invocation.network, Network::Raw);
        assert!(invocation.args.join(" ").contains(expected), "{flags}");
    }
    assert!(args(&json!({ "scan_type": "-sV" })).contains(&"--unprivileged".to_owned()));
}

#[test]
fn a_scan_may_have_a_least_rate_below_the_most() {
    let params = json!({ "scan_type": "-sV -sU -sT", "ports": "T:80,U:53", "min_rate": 250 });
    for shape in Adapter.shapes(Some(&params)).unwrap() {
        assert_eq!(shape.params["min_rate"], 250, "each task keeps it");
        let args = Adapter.invocation(&shape.params, &shard(&["192.0.2.1"])).unwrap().args.join(" ");
        assert!(args.contains("--max-rate 1000") && args.contains(" --min-rate 250 "), "{args}");
    }
    assert!(!args(&json!({})).contains(&"--min-rate".to_owned()));
    for rate in [json!(0), json!(1001), json!(-1), json!("250"), json!(1.5), json!(null), json!("1 -iL /etc/passwd")] {
        refused(&json!({ "min_rate": rate }), "parameters.min_rate");
    }
}

#[test]
fn ports_are_chosen_in_one_way() {
    assert!(args(&json!({ "scan_type": "-F" })).join(" ").contains("--top-ports 100 --"));
    assert!(args(&json!({ "top_ports": 10 })).join(" ").contains("--top-ports 10 --"));
    assert!(args(&json!({ "ports": "T:81,80" })).join(" ").contains("-p 80-81 --"));
    refused(&json!({ "scan_type": "-F", "ports": "80" }), "parameters.ports");
    refused(&json!({ "top_ports": 10, "ports": "80" }), "parameters.ports");
    refused(&json!({ "ports": "U:53" }), "parameters.ports");
    refused(&json!({ "scan_type": "-sU", "ports": "T:80" }), "parameters.ports");
    refused(&json!({ "scan_type": "-sT -sU", "ports": "U:53" }), "parameters.ports");
    refused(&json!({ "scan_type": "-sT -sU", "ports": "T:53" }), "parameters.ports");
    refused(&json!({ "scan_type": "-sU", "ports": "1-1001" }), "parameters.ports");
}

#[test]
fn address_families_are_never_mixed() {
    let params = json!({ "scan_type": "-sT" });
    let v6 = Adapter.invocation(&params, &shard(&["2001:db8::1"])).unwrap();
    assert!(v6.args.contains(&"-6".to_owned()));
    assert_eq!(v6.args[v6.args.len() - 2..], ["--", "2001:db8::1"]);
    for (addresses, code) in [(vec!["192.0.2.1", "2001:db8::1"], "mixed_families"), (vec![], "empty")] {
        assert_eq!(Adapter.invocation(&params, &shard(&addresses)).unwrap_err().code, code);
    }
}

#[test]
fn a1_a2_a3_options_that_load_files_are_refused() {
    refused_scan_types(&["-sV --script=/etc/passwd", "-sV -script=x", "--datad=/tmp", "-sV --script /x", "--servicedb=/x", "--script-updatedb"]);
}

#[test]
fn a4_only_single_spaces_separate_flags() {
    refused_scan_types(&[
        "-sV\n-iL/etc/passwd", "-sV\t-sC", "-sV\r-sC", "-sV\u{a0}-sC", "-sV\0", "-sV  -sC", " -sV", "-sV ", "", " ", "-sV\n", "-sV\u{2003}-sC", "-sV,-sC",
    ]);
}

#[test]
fn a5_a6_options_that_write_files_or_pick_targets_are_refused() {
    refused_scan_types(&["-oN/scratch/x", "--oN=x", "-oA%H", "-oX -", "-iR 100", "-sV -iR", "-iL/etc/passwd", "--resume /x", "--excludefile /x"]);
}

#[test]
fn a7_a_target_among_the_flags_is_refused() {
    refused_scan_types(&["-sV -sC -O 10.0.0.1", "-sV --", "-sV -- 10.0.0.1", "example.com", "-sV 10.0.0.0/8"]);
}

#[test]
fn a8_a9_options_that_spoof_or_hurry_are_refused() {
    refused_scan_types(&["-sI zombie", "-D", "-S", "-b", "-e eth0", "--proxies x", "-T5", "-T0", "-T4", "-A", "-sVC", "-sv", "-SV", "-sn", "-d", "-6"]);
    for timing in [json!("-T5"), json!("-T0"), json!("-T4 -oN x"), json!("-T1"), json!("T5"), json!("4"), json!("--T4"), json!("-T4\n"), json!(5), json!(1),
        json!(0), json!(-4), json!(4.0), json!(true), json!(null), json!([4]), json!("T٤"), json!(u64::MAX)]
    {
        refused(&json!({ "timing": timing }), "parameters.timing");
    }
}

#[test]
fn a10_hostile_ports_are_refused() {
    let long = "1,".repeat(32 * 1024);
    for ports in ["1-3 -oN x", "$(id)", "http*", "-", "0", "65536", "9-1", &long, "٤٤٣", "+80", " 80", ""] {
        refused(&json!({ "ports": ports }), "parameters.ports");
    }
    refused(&json!({ "scan_type": "-sT -sU", "ports": "U:1-65535,T:1-65535" }), "parameters.ports");
    for ports in [json!(80), json!(["80"]), json!(null), json!({ "from": 1 })] {
        refused(&json!({ "ports": ports }), "parameters.ports");
    }
}

#[test]
fn a11_only_listed_scripts_are_run() {
    for name in ["vuln and not safe", "../x", "http-fetch", "all", "+http-*", "default", "safe", "http-*", "/etc/passwd", "", "http-git,all", "http-open-proxy"] {
        refused(&json!({ "scripts": ["http-git", name] }), "parameters.scripts[1]");
    }
    refused(&json!({ "scripts": "http-git" }), "parameters.scripts");
    refused(&json!({ "scripts": [1] }), "parameters.scripts[0]");
    refused(&json!({ "scripts": vec!["http-git"; 100] }), "parameters.scripts");
    assert!(schema::SCRIPTS.is_sorted_by(|a, b| a < b));
}

#[test]
fn a12_script_arguments_do_not_exist() {
    for (name, value) in [("script_args", "newtargets"), ("script-args", "http.useragent=x\r\nHost: y"), ("args", "x"), ("script", "x")] {
        refused(&json!({ name: value }), &format!("parameters.{name}"));
    }
}

#[test]
fn a13_only_addresses_are_targets() {
    // A shard holds addresses, not text; the text forms are refused by the target's own parser.
    for text in ["-iL/etc/passwd", "--", "`", "$(id)", "localhost/0", "10.0.0-255.1", "*.1.1.1", "a,b"] {
        assert!(picket_domain::Target::parse(text).is_err(), "{text}");
    }
    let args = args(&json!({ "scan_type": "-sV" }));
    assert_eq!(args[args.len() - 2..], ["--", "192.0.2.1"]);
}

#[test]
fn a21_unknown_fields_and_wrong_types_are_refused() {
    for params in [json!(null), json!("-sV"), json!(["-sV"]), json!(1), json!(true)] {
        refused(&params, "parameters");
    }
    refused(&json!({ "scan_type": "-sV", "extra": 1 }), "parameters.extra");
    refused(&json!({ "SCAN_TYPE": "-sV" }), "parameters.SCAN_TYPE");
    refused(&json!({ "a\nb\u{1b}[31m": 1 }), "parameters.ab[31m");
    refused(&json!({ "x".repeat(1 << 20): 1 }), &format!("parameters.{}", "x".repeat(64)));
    for top_ports in [json!("10"), json!(0), json!(1001), json!(-1), json!(1.5), json!(null)] {
        refused(&json!({ "top_ports": top_ports }), "parameters.top_ports");
    }
    for scan_type in [json!(1), json!(null), json!({}), json!([]), json!([1]), json!(["-sV", "-oN"]), json!("-sV ".repeat(1 << 18))] {
        refused(&json!({ "scan_type": scan_type }), "parameters.scan_type");
    }
}

#[test]
fn a22_the_environment_is_not_a_parameter() {
    refused(&json!({ "env": { "NMAPDIR": "/tmp" } }), "parameters.env");
}

#[test]
fn a_task_holds_one_run() {
    let params = json!({ "scan_type": "-sV -O" });
    assert_eq!(Adapter.invocation(&params, &shard(&["192.0.2.1"])).unwrap_err().code, "not_canonical");
}

#[test]
fn the_schema_lists_every_parameter() {
    let schema = Adapter.params_schema();
    let names: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["min_rate", "ports", "scan_type", "scripts", "timing", "top_ports"]);
    assert_eq!(schema["additionalProperties"], json!(false));
}

/// Parameters made of plausible parts.
fn plausible() -> impl Strategy<Value = Value> {
    let flags = prop::sample::subsequence(vec!["-sV", "-sC", "-O", "-sT", "-sS", "-sU", "-F", "-Pn"], 0..5);
    let ports = prop_oneof![Just(None), "[TU]?:?[1-9][0-9]{0,3}(,[1-9][0-9]{0,2}-[1-9][0-9]{3}){0,3}".prop_map(Some)];
    let scripts = prop::sample::subsequence(schema::SCRIPTS.to_vec(), 0..4);
    (flags, ports, scripts, prop::option::of(0_u16..1200), 1_u8..6).prop_map(|(flags, ports, scripts, top, timing)| {
        let mut params = serde_json::Map::new();
        if !flags.is_empty() {
            params.insert("scan_type".to_owned(), json!(flags.join(" ")));
        }
        if let Some(ports) = ports {
            params.insert("ports".to_owned(), json!(ports));
        }
        if let Some(top) = top {
            params.insert("top_ports".to_owned(), json!(top));
        }
        params.insert("scripts".to_owned(), json!(scripts));
        params.insert("timing".to_owned(), json!(timing));
        Value::Object(params)
    })
}

proptest! {
    #[test]
    fn canonical_parameters_are_read_as_themselves(params in plausible()) {
        if let Ok(shapes) = Adapter.shapes(Some(&params)) {
            prop_assert!(!shapes.is_empty());
            for shape in shapes {
                prop_assert_eq!(Adapter.shapes(Some(&shape.params)), Ok(vec![shape.clone()]));
                let invocation = Adapter.invocation(&shape.params, &shard(&["192.0.2.1"])).unwrap();
                prop_assert_eq!(invocation.args.iter().filter(|arg| *arg == "--").count(), 1);
            }
        }
    }

    #[test]
    fn no_text_of_a_client_becomes_an_argument(text in ".{0,40}") {
        for name in ["scan_type", "ports", "timing"] {
            if let Ok(shapes) = Adapter.shapes(Some(&json!({ name: text.clone() }))) {
                for shape in shapes {
                    let args = Adapter.invocation(&shape.params, &shard(&["192.0.2.1"])).unwrap().args;
                    prop_assert!(args.iter().all(|arg| arg.is_ascii() && !arg.contains(|c: char| c.is_control())));
                }
            }
        }
    }
}
