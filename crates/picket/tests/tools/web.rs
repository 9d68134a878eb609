//! Tools that look at web sites, against the shop.

use serde_json::json;

use crate::{room::run, shop};

#[test]
fn whatweb_recognizes_the_software_of_the_shop() {
    let Some(ran) = run("whatweb", &json!({"port": shop::open(), "aggression": 3})) else { return };
    assert!(ran.is_well && ran.parsed.is_complete(), "{}", ran.told());
    assert!(
        ran.seen[0].title.contains("WordPress 5.0") && ran.seen[0].title.contains("nginx 1.16.1"),
        "{}",
        ran.seen[0].title
    );
}

#[test]
fn wafw00f_finds_no_firewall_before_the_shop() {
    let Some(ran) = run("wafw00f", &json!({"port": shop::open()})) else { return };
    assert!(ran.is_well && ran.parsed.is_complete() && ran.seen.is_empty(), "{}", ran.told());
}

#[test]
fn ffuf_finds_what_should_not_be_served() {
    let Some(ran) = run("ffuf", &json!({"port": shop::open(), "rate": 50})) else { return };
    assert!(ran.is_well && ran.parsed.is_complete(), "{}", ran.told());
    for (rule, path) in [
        ("http.git_exposed", "/.git/"),
        ("http.env_file_exposed", "/.env"),
        ("http.database_dump_exposed", "/backup.sql"),
        ("http.robots_txt", "/robots.txt"),
        ("http.admin_interface", "/admin/"),
    ] {
        assert!(ran.has(rule, path), "{rule} {path}: {}", ran.told());
    }
}

#[test]
fn wapiti_finds_the_injections_of_the_shop() {
    let Some(ran) = run("wapiti", &json!({"port": shop::open(), "max_scan_time": 240})) else { return };
    assert!(ran.is_well && ran.parsed.is_complete(), "{}", ran.told());
    for (rule, path) in [
        ("web.cross_site_scripting", "/search"),
        ("web.sql_injection", "/item"),
        ("web.open_redirect", "/go"),
        ("http.header_missing.csp", "/"),
        ("http.header_missing.x_frame_options", "/"),
        ("http.cookie_without_httponly", "/"),
    ] {
        assert!(ran.has(rule, path), "{rule} {path}: {}", ran.told());
    }
}

#[test]
fn nikto_finds_files_and_missing_headers_of_the_shop() {
    let Some(ran) = run("nikto", &json!({"port": shop::open(), "tuning": ["b"]})) else { return };
    assert!(ran.is_well && ran.parsed.is_complete(), "{}", ran.told());
    assert!(ran.has("http.header_missing.x_frame_options", "/"), "{}", ran.told());
    assert!(ran.has("http.cookie_without_httponly", "/"), "{}", ran.told());
}

#[test]
fn a_port_where_nobody_answers_is_never_clean() {
    // Nothing listens where something did a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for tool in ["whatweb", "wafw00f", "ffuf"] {
        if let Some(ran) = run(tool, &json!({"port": port})) {
            assert!(!ran.parsed.is_complete() && ran.seen.is_empty(), "{tool}: {}", ran.told());
            // ffuf gives up at once, the others report nothing.
            assert_eq!(ran.is_well, tool != "ffuf", "{tool}");
        }
    }
}
