//! Which URLs and addresses the guard lets through.

use proptest::prelude::*;

use super::*;
use crate::ErrorClass;

fn open() -> Guard {
    Guard::new(&OutboundSettings::default())
}

fn development() -> Guard {
    Guard::new(&OutboundSettings {
        allowed_ranges: vec!["127.0.0.0/8".parse().unwrap()],
        allow_http: true,
        ..OutboundSettings::default()
    })
}

fn class(guard: &Guard, url: &str) -> Option<ErrorClass> {
    guard.check_url(&url.parse().unwrap()).err().map(|error| error.class())
}

proptest! {
    #[test]
    fn one_bad_address_among_good_ones_refuses_all(position in 0_usize..=4, last: u8) {
        let endpoint = open().check_url(&"https://example.com/".parse().unwrap()).unwrap();
        let mut answers: Vec<IpAddr> = (1..=4).map(|n| IpAddr::from([8, 8, 4, n])).collect();
        prop_assert!(open().check_addresses(&endpoint, &answers).is_ok());
        answers.insert(position, IpAddr::from([10, 0, 0, last]));
        prop_assert!(open().check_addresses(&endpoint, &answers).is_err());
    }
}

#[test]
fn every_spelling_of_an_internal_address_is_refused() {
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "１２７．０．０．１",
        "127。0。0。1",
        "①②⑦.⓪.⓪.①",
        "[::]",
        "[::1]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::a00:1]",
        "[2002:a9fe:a9fe::]",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[fc00::1]",
        "[ff02::1]",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "203.0.113.1",
    ] {
        assert_eq!(class(&open(), &format!("https://{host}/")), Some(ErrorClass::RefusedAddress), "{host}");
    }
}

#[test]
fn a_public_address_is_called_over_https_on_a_listed_port_only() {
    assert_eq!(class(&open(), "https://8.8.8.8/"), None);
    assert_eq!(class(&open(), "https://[2606:4700::1111]:8443/"), None);
    assert_eq!(class(&open(), "https://8.8.8.8:22/"), Some(ErrorClass::RefusedAddress));
    assert_eq!(class(&open(), "http://8.8.8.8/"), Some(ErrorClass::RefusedUrl));
    assert_eq!(class(&development(), "http://8.8.8.8/"), Some(ErrorClass::RefusedAddress));
}

#[test]
fn the_operators_ranges_may_be_called_on_any_port_and_over_http_only_when_said_so() {
    assert_eq!(class(&development(), "http://127.0.0.1:39999/hook"), None);
    assert_eq!(class(&development(), "https://127.9.9.9:1/"), None);
    assert_eq!(class(&development(), "http://[::ffff:127.0.0.1]:39999/"), None);
    assert_eq!(class(&development(), "http://10.0.0.1/"), Some(ErrorClass::RefusedAddress));
    assert_eq!(class(&development(), "http://[::1]/"), Some(ErrorClass::RefusedAddress));
    let secure = Guard::new(&OutboundSettings {
        allowed_ranges: vec!["127.0.0.0/8".parse().unwrap()],
        ..OutboundSettings::default()
    });
    assert_eq!(class(&secure, "http://127.0.0.1/"), Some(ErrorClass::RefusedUrl));
}

#[test]
fn urls_that_no_address_can_save_are_refused() {
    for url in
        ["ftp://8.8.8.8/", "file:///etc/passwd", "https://user@8.8.8.8/", "https://:x@8.8.8.8/", "https://8.8.8.8:0/"]
    {
        assert_eq!(class(&open(), url), Some(ErrorClass::RefusedUrl), "{url}");
    }
}

#[test]
fn a_name_is_judged_by_what_it_resolves_to() {
    let endpoint = open().check_url(&"https://EXAMPLE.com.:8443/a?b=c#d".parse().unwrap()).unwrap();
    assert_eq!(endpoint.host, EndpointHost::Name("example.com".to_owned()));
    assert_eq!((endpoint.path_and_query.as_str(), endpoint.authority.as_str()), ("/a?b=c", "example.com.:8443"));
    let error = open().check_addresses(&endpoint, &["169.254.169.254".parse().unwrap()]).unwrap_err();
    assert!(!error.class().text().contains("169"));
}

#[test]
fn what_the_operator_denies_is_refused_even_inside_an_allowed_range() {
    let guard = Guard::new(&OutboundSettings {
        allowed_ranges: vec!["10.0.0.0/8".parse().unwrap()],
        denied_ranges: vec!["10.1.0.0/16".parse().unwrap(), "8.8.8.8/32".parse().unwrap()],
        ..OutboundSettings::default()
    });
    assert_eq!(class(&guard, "https://10.2.0.1/"), None);
    for host in ["10.1.0.1", "8.8.8.8", "[::ffff:8.8.8.8]"] {
        assert_eq!(class(&guard, &format!("https://{host}/")), Some(ErrorClass::RefusedAddress), "{host}");
    }
}
