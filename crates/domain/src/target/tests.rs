//! The hostile cases of `docs/security.md` by their numbers, and properties.

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Target, TargetError> {
    Target::parse(text)
}

fn refused(texts: &[&str]) {
    for text in texts {
        assert!(parse(text).is_err(), "{text:?} became {}", parse(text).unwrap());
    }
}

#[test]
fn usual_targets_are_read_in_their_canonical_form() {
    for (text, canonical) in [
        ("example.com", "example.com"),
        ("ExAmPle.COM", "example.com"),
        ("sub-1.example.co.uk", "sub-1.example.co.uk"),
        ("cafe.de", "cafe.de"),
        ("7.example.com", "7.example.com"),
        ("bücher.example.com", "xn--bcher-kva.example.com"),
        ("XN--bcher-kva.example.com", "xn--bcher-kva.example.com"),
        ("BÜCHER.example.com", "xn--bcher-kva.example.com"),
        ("faß.de", "xn--fa-hia.de"),
        ("例子.公司.cn", "xn--fsqu00a.xn--55qx5d.cn"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("2001:db8::/112", "2001:db8::/112"),
        ("2001:db8::7/128", "2001:db8::7"),
        ("::ffff:10.0.0.0/120", "10.0.0.0/24"),
    ] {
        assert_eq!(parse(text).unwrap().to_string(), canonical, "{text}");
    }
    assert_eq!(parse("xn--bcher-kva.example.com").unwrap().host().unwrap().unicode(), "bücher.example.com");
}

#[test]
fn networks_know_their_addresses() {
    let network = parse("192.0.2.0/30").unwrap();
    assert_eq!(network.address_count(), 4);
    let addresses: Vec<_> = network.addresses().map(|address| address.to_string()).collect();
    assert_eq!(addresses, ["192.0.2.0", "192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    assert_eq!(parse("10.0.0.0/16").unwrap().address_count(), 65_536);
    assert_eq!(parse("2001:db8::/112").unwrap().addresses().count(), 65_536);
    assert_eq!(parse("255.255.255.254/31").unwrap().addresses().last().unwrap().to_string(), "255.255.255.255");
    assert_eq!(
        (parse("example.com").unwrap().address_count(), parse("example.com").unwrap().addresses().count()),
        (1, 0)
    );
}

#[test]
fn t1_names_of_the_machine_itself_are_no_targets() {
    refused(&["localhost", "LOCALHOST", "a.localhost", "localhost.localdomain", "[::]", "[::1]", "[127.0.0.1]"]);
    // As addresses they are well-formed; `judge` forbids them.
    for text in ["127.0.0.1", "0.0.0.0", "::", "::1"] {
        assert!(crate::classify(parse(text).unwrap().addresses().next().unwrap()).is_forbidden());
    }
}

#[test]
fn t2_other_spellings_of_addresses_are_no_targets() {
    for text in [
        "0177.0.0.1",
        "127.1",
        "0x7f.1",
        "0x7F.0x1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "127.0.0.1.",
        "127.0.0.01",
        "1.2.3.4.5",
        "256.1.1.1",
        "1.2.3",
        "a.1",
        "example.123",
        "0x",
        "a.0x",
        "a.0xff",
    ] {
        assert_eq!(parse(text), Err(TargetError::NumericHost), "{text}");
    }
    refused(&["127.0.0.", ".127.0.0.1", "+127.0.0.1", "127.0.0.1\0", "1e3.0.0.1"]);
}

#[test]
fn t3_other_digits_and_dots_are_no_targets() {
    refused(&[
        "１２７．０．０．１",
        "127。0。0。1",
        "①②⑦.⓪.⓪.①",
        "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
        "example。com",
        "ｅｘａｍｐｌｅ．ｃｏｍ",
        "١٢٧.٠.٠.١",
        "exampⅼe.com",
    ]);
}

#[test]
fn t4_mapped_addresses_become_what_they_are() {
    assert_eq!(parse("::ffff:169.254.169.254").unwrap().to_string(), "169.254.169.254");
    for text in ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "::127.0.0.1"] {
        assert!(crate::classify(parse(text).unwrap().addresses().next().unwrap()).is_forbidden(), "{text}");
    }
}

#[test]
fn t5_names_of_metadata_services_are_no_targets() {
    refused(&[
        "metadata.google.internal",
        "metadata",
        "instance-data.ec2.internal",
        "instance-data",
        "METADATA.GOOGLE.INTERNAL",
    ]);
}

#[test]
fn t6_internal_names_and_zones_are_no_targets() {
    refused(&[
        "fe80::1%eth0",
        "fe80::1%25eth0",
        "printer.local",
        "db.internal",
        "a.test",
        "a.onion",
        "router.home.arpa",
        "1.0.0.127.in-addr.arpa",
        "a.lan",
        "a.corp",
        "a.example",
        "a.invalid",
        "kubernetes.default.svc.cluster.local",
    ]);
}

#[test]
fn t9_look_alikes_and_invisible_characters_are_no_targets() {
    assert_eq!(parse("exаmple.com"), Err(TargetError::MixedScripts { ascii: "xn--exmple-4nf.com".to_owned() }));
    refused(&[
        "exam\u{ad}ple.com",
        "exam\u{200b}ple.com",
        "exam\u{200d}ple.com",
        "exam\u{2060}ple.com",
        "\u{feff}example.com",
        "example\u{202e}.com",
        "xn--.com",
        "xn--a.com",
        "xn--zzzzzzzz-.com",
        "xn--example-.com",
        "xn--bcher-kva\u{fc}.com",
        "e\u{301}xample.com\u{301}",
    ]);
    assert_eq!(parse("faß.de").unwrap().to_string(), "xn--fa-hia.de");
    // Whoever means it can write it.
    assert_eq!(parse("xn--exmple-4nf.com").unwrap().to_string(), "xn--exmple-4nf.com");
}

#[test]
fn t10_malformed_names_are_no_targets() {
    let long_label = format!("{}.com", "a".repeat(64));
    let long_name = format!("{}com", "a.".repeat(126));
    assert_eq!(long_name.len(), 255);
    refused(&[
        "",
        ".",
        "..",
        "example.com.",
        "example.com..",
        ".example.com",
        "a..example.com",
        &long_label,
        &long_name,
        "foo_bar.example.com",
        "_dmarc.example.com",
        "-example.com",
        "example-.com",
        "*.example.com",
        "*",
        "com",
        "example",
        "-",
        "--",
        "a,b",
        "exa'mple.com",
        "exa\"mple.com",
    ]);
    assert!(parse(&format!("{}.com", "a".repeat(63))).is_ok());
    for (text, expected) in [
        ("co.uk", true),
        ("github.io", true),
        ("com.", false),
        ("公司.cn", true),
        ("foo.ck", true),
        ("example.co.uk", false),
    ] {
        assert_eq!(matches!(parse(text), Err(TargetError::PublicSuffix { .. })), expected, "{text}");
    }
}

#[test]
fn t11_nothing_is_smuggled_in_a_host() {
    for text in [
        "a@b.com",
        "user:pass@example.com",
        "example.com:80",
        "example.com/path",
        "example.com?x=1",
        "example.com#x",
        "example.com\\evil.com",
        "example.com\nfoo",
        "example.com\r\n",
        "example.com\t",
        " example.com",
        "example.com ",
        "example.com\0",
        "example\u{a0}.com",
        "example\u{3000}.com",
        "example\u{85}.com",
        "%65xample.com",
        "example.com%00",
        "example.com/",
        "//example.com",
        "192.0.2.1:80",
        "[2001:db8::1]:80",
        "2001:db8::1/",
        "/",
        "example.com/24",
    ] {
        assert!(parse(text).is_err(), "{text:?}");
    }
    for text in ["https://example.com/", "http://127.0.0.1", "file:///etc/passwd"] {
        assert_eq!(parse(text), Err(TargetError::Url), "{text}");
    }
}

#[test]
fn t12_networks_are_bounded_and_exact() {
    for text in ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/15", "::/0", "2001:db8::/64", "2001:db8::/111"] {
        assert_eq!(parse(text), Err(TargetError::TooWide), "{text}");
    }
    assert_eq!(parse("10.0.0.1/24"), Err(TargetError::HostBits { network: "10.0.0.0/24".parse().unwrap() }));
    assert_eq!(parse("2001:db8::1/112"), Err(TargetError::HostBits { network: "2001:db8::/112".parse().unwrap() }));
    for text in [
        "10.0.0.0/33",
        "10.0.0.0/0x18",
        "10.0.0.0/+24",
        "10.0.0.0/024",
        "10.0.0.0/-1",
        "10.0.0.0/ 24",
        "10.0.0.0/",
        "10.0.0.0/24/24",
        "10.0/16",
        "2001:db8::/129",
        "10.0.0.0/255.255.0.0",
        "10.0.0.0/٢٤",
        "localhost/30",
        "localhost/0",
        "example.com/24",
        "10.0.0.0/256",
        "10.0.0.0/280",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
    refused(&["10.0.0-255.1-254", "10.0.0-255.1", "*.1.1.1", "10.0,5.0.1", "10.0.0.0-10.0.0.5", "10.0.0.*"]);
    assert!(parse("10.0.0.0/16").is_ok());
}

#[test]
fn a13_command_line_tricks_are_no_targets() {
    refused(&[
        "-iL/etc/passwd",
        "--",
        "-oN",
        "`",
        "$(id)",
        "`id`.com",
        "$(id).com",
        "a;id",
        "a|id",
        "a&b.com",
        "localhost/0",
        "10.0.0-255.1",
        "*.1.1.1",
        "a,b",
        "-iR",
        "--script=x.com",
        "example.com,example.org",
    ]);
}

#[test]
fn errors_say_what_was_expected() {
    for text in [
        "",
        "https://a.com",
        "a b",
        "127.1",
        "1:2",
        "a_b.com",
        "a.localhost",
        "co.uk",
        "a",
        "10.0.0.1/24",
        "1.2.3.4/x",
        "0.0.0.0/0",
    ] {
        let message = parse(text).unwrap_err().to_string();
        assert!(message.starts_with("expected ") && !message.ends_with('.'), "{message}");
    }
}

#[test]
fn a_stored_target_is_checked_again() {
    let target: Target = serde_json::from_str("\"Example.COM\"").unwrap();
    assert_eq!(serde_json::to_string(&target).unwrap(), "\"example.com\"");
    assert!(serde_json::from_str::<Target>("\"-oN\"").is_err());
}

/// Texts that look like targets more often than chance would make them.
fn near_target() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-zA-Z0-9-]{1,12}",
        "[0-9]{1,3}",
        Just("xn--".to_owned()),
        Just("0x7f".to_owned()),
        Just("::".to_owned()),
        Just("/24".to_owned()),
        Just("com".to_owned()),
        Just("ß".to_owned()),
        Just("公司".to_owned()),
        "\\PC{1,3}",
    ];
    prop::collection::vec((piece, prop_oneof![Just("."), Just(""), Just(":")]), 1..6)
        .prop_map(|pieces| pieces.into_iter().map(|(piece, end)| piece + end).collect())
}

fn assert_canonical(text: &str) -> Result<(), TestCaseError> {
    if let Ok(target) = parse(text) {
        let canonical = target.to_string();
        prop_assert_eq!(parse(&canonical), Ok(target), "{} of {:?}", canonical, text);
        prop_assert!(canonical.is_ascii() && !canonical.starts_with('-'));
        prop_assert!(!canonical.contains(|c: char| c.is_ascii_uppercase() || c.is_control() || c.is_whitespace()));
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        assert_canonical(&text)?;
    }

    #[test]
    fn a_canonical_form_is_read_as_itself(text in near_target()) {
        assert_canonical(&text)?;
    }

    #[test]
    fn every_address_is_a_target_and_has_a_class(bits: u128) {
        let address = std::net::IpAddr::V6(bits.into());
        let target = parse(&address.to_string()).unwrap();
        prop_assert_eq!(target.addresses().next(), Some(address.to_canonical()));
        prop_assert_eq!(crate::classify(address), crate::classify(address.to_canonical()));
    }
}
