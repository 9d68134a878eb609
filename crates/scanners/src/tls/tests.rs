//! Suites, groups and certificates of all spellings.

use super::*;

fn rules_of(suite: &str) -> Vec<&'static str> {
    suite::weak_rules(suite)
        .iter()
        .map(|rule| rule.id.trim_start_matches("tls.").trim_start_matches("weak_cipher."))
        .collect()
}

#[test]
fn the_names_of_iana_and_of_openssl_mean_the_same() {
    for (iana, openssl) in [
        ("TLS_RSA_WITH_NULL_SHA", "NULL-SHA"),
        ("TLS_RSA_WITH_RC4_128_MD5", "RC4-MD5"),
        ("TLS_RSA_EXPORT_WITH_RC4_40_MD5", "EXP-RC4-MD5"),
        ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", "ECDHE-RSA-AES256-SHA384"),
        ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
        ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
        ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", "DES-CBC3-SHA"),
        ("TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", "EDH-RSA-DES-CBC3-SHA"),
        ("TLS_DH_anon_WITH_AES_128_CBC_SHA", "ADH-AES128-SHA"),
        ("TLS_ECDH_anon_WITH_AES_256_CBC_SHA", "AECDH-AES256-SHA"),
        ("TLS_RSA_WITH_IDEA_CBC_SHA", "IDEA-CBC-SHA"),
        ("TLS_RSA_WITH_SEED_CBC_SHA", "SEED-SHA"),
        ("TLS_RSA_WITH_AES_256_CCM_8", "AES256-CCM8"),
        ("TLS_RSA_WITH_CAMELLIA_128_CBC_SHA", "CAMELLIA128-SHA"),
        ("TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
    ] {
        assert_eq!(rules_of(iana), rules_of(openssl), "{iana} {openssl}");
    }
    assert_eq!(rules_of("RC4-MD5"), ["rc4", "no_forward_secrecy"]);
    assert_eq!(rules_of("SSL_CK_RC4_128_EXPORT40_WITH_MD5"), ["export", "rc4", "no_forward_secrecy"]);
    assert_eq!(rules_of("ADH-AES128-SHA"), ["anonymous", "cbc"]);
    assert_eq!(rules_of("ECDHE-RSA-NULL-SHA"), ["null"]);
    for sound in [
        "TLS_AES_128_CCM_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_FALLBACK_SCSV",
        "",
        "unknown",
        "0xC0FF",
        "\u{1b}[31m",
    ] {
        assert_eq!(rules_of(sound), Vec::<&str>::new(), "{sound}");
    }
}

#[test]
fn curves_are_weighed_by_their_names() {
    for (name, bits) in [
        ("prime192v1", Some(192)),
        ("secp160k1", Some(160)),
        ("secp256r1 (NIST P-256)", Some(256)),
        ("X25519", None),
        ("ffdhe2048", None),
        ("brainpoolP512r1", Some(512)),
        ("sect163k1", Some(163)),
        ("X448", Some(448)),
    ] {
        assert_eq!(suite::curve_bits(name), bits, "{name}");
    }
}

#[test]
fn versions_have_one_meaning_in_all_tools() {
    for (names, version) in [
        (["SSLv2", "SSL_2_0", "ssl2"], Version::Ssl2),
        (["TLSv1", "TLSv1.0", "TLS_1_0"], Version::Tls10),
        (["TLS1_1", "TLSv1.1", "tls1.1"], Version::Tls11),
        (["TLS1_3", "TLSv1.3", "TLS_1_3"], Version::Tls13),
    ] {
        assert!(names.into_iter().all(|name| Version::find(name) == Some(version)), "{names:?}");
    }
    assert_eq!(Version::find("DTLS"), None);
}

#[test]
fn a_rule_is_told_once_whatever_it_is_true_of() {
    let mut verdicts = Verdicts::default();
    for suite in ["RC4-MD5", "RC4-SHA", "RC4-MD5"] {
        verdicts.offers_suite(Some(Version::Tls10), suite);
    }
    verdicts.lacks(Version::Tls12);
    verdicts.lacks(Version::Tls13);
    let place = crate::weakness::Place::tcp("192.0.2.1", 443, true);
    let told: Vec<_> = verdicts.weaknesses().into_iter().map(|weakness| weakness.observed(&place)).collect();
    let rules: Vec<&str> = told.iter().map(|seen| seen.rule.as_str()).collect();
    assert_eq!(
        rules,
        ["tls.no_forward_secrecy", "tls.no_modern_protocol", "tls.weak_cipher.rc4", "tls.weak_protocol.tlsv1.0"]
    );
    assert_eq!(told[2].evidence, "RC4-MD5\nRC4-SHA");
}

#[test]
fn certificates_are_judged_by_what_is_known_of_them() {
    let date = |text: &str| text.parse().ok();
    let clock = Clock::at("2026-11-22T12:00:00Z".parse().ok());
    let sound = Certificate {
        not_before: date("2026-10-01T00:00:00"),
        not_after: date("2027-10-01T00:00:00"),
        key_type: "RSAPublicKey".to_owned(),
        key_bits: Some(2048),
        signature: "sha256WithRSAEncryption".to_owned(),
        ..Certificate::default()
    };
    let rules = |certificate: Certificate| {
        certificate.judge(clock).iter().map(|rule| rule.id.trim_start_matches("tls.")).collect::<Vec<_>>()
    };
    assert!(rules(sound.clone()).is_empty());
    assert!(Certificate::default().judge(clock).is_empty() && sound.judge(Clock::default()).is_empty());
    for (certificate, expected) in [
        (Certificate { not_after: date("2026-11-21T00:00:00"), ..sound.clone() }, vec!["certificate_expired"]),
        (Certificate { not_after: date("2026-12-01T00:00:00"), ..sound.clone() }, vec!["certificate_expiring"]),
        (Certificate { not_before: date("2026-11-23T00:00:00"), ..sound.clone() }, vec!["certificate_not_yet_valid"]),
        (Certificate { not_after: date("2028-10-01T00:00:00"), ..sound.clone() }, vec!["certificate_long_validity"]),
        (Certificate { is_self_signed: true, is_untrusted: true, ..sound.clone() }, vec!["certificate_self_signed"]),
        (Certificate { is_untrusted: true, ..sound.clone() }, vec!["certificate_untrusted"]),
        (Certificate { key_bits: Some(1024), ..sound.clone() }, vec!["weak_key"]),
        (Certificate { key_type: "EC".to_owned(), key_bits: Some(192), ..sound.clone() }, vec!["weak_key"]),
        (Certificate { key_type: "ED25519".to_owned(), key_bits: Some(128), ..sound.clone() }, vec![]),
        (Certificate { signature: "ecdsa-with-SHA1".to_owned(), ..sound.clone() }, vec!["weak_signature"]),
        (Certificate { signature: "SHA1 with RSA".to_owned(), ..sound.clone() }, vec!["weak_signature"]),
    ] {
        assert_eq!(rules(certificate.clone()), expected, "{certificate:?}");
    }
}
