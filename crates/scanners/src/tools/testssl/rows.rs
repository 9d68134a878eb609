//! What the rows of testssl.sh mean in the words of our rules.

use picket_domain::Severity;

use crate::rules::{self, Rule};

/// What is to be done with a row of at least low severity.
pub(super) enum Meaning {
    /// A rule about TLS.
    Tls(Rule),
    /// Rules about the site's start page.
    Site(&'static [Rule]),
    /// Another row tells the same.
    Repeated,
    /// Nothing we have a rule for.
    Own,
}

/// A grade; `None` for rows that report trouble of the scan.
pub(super) fn severity(name: &str) -> Option<Severity> {
    match name {
        "OK" | "INFO" | "DEBUG" => Some(Severity::Info),
        "LOW" => Some(Severity::Low),
        // All that 2.8 said of what is weak.
        "MEDIUM" | "NOT ok" => Some(Severity::Medium),
        "HIGH" => Some(Severity::High),
        "CRITICAL" => Some(Severity::Critical),
        _ => None,
    }
}

/// Whether the row says that all is well, or is meant for the authors of testssl.sh.
pub(super) fn is_good(severity: &str) -> bool {
    matches!(severity, "OK" | "DEBUG")
}

/// Whether the row is of the rating at the end, which sums up what the rows before said.
pub(super) fn is_rating(id: &str) -> bool {
    const NAMES: [&str; 6] =
        ["rating_", "protocol_support_score", "key_exchange_score", "cipher_strength_score", "final_score", "overall_grade"];
    NAMES.iter().any(|name| id.starts_with(name)) || id.starts_with("grade_cap_reason")
}

/// The rows whose name alone tells the rule, in the spellings of 2.9 to 3.3.
const RULES: &[(&str, Rule)] = &[
    ("BEAST", rules::TLS_CBC_IN_TLS10),
    ("BEAST_CBC_SSL3", rules::TLS_CBC_IN_TLS10),
    ("BEAST_CBC_TLS1", rules::TLS_CBC_IN_TLS10),
    ("CCS", rules::TLS_CCS_INJECTION),
    ("CRIME_TLS", rules::TLS_COMPRESSION),
    ("DH_groups", rules::TLS_WEAK_DH_GROUP),
    ("DROWN", rules::TLS_DROWN),
    ("FREAK", rules::TLS_WEAK_CIPHER_EXPORT),
    ("FS", rules::TLS_NO_FORWARD_SECRECY),
    ("FS_ECDHE_curves", rules::TLS_WEAK_CURVE),
    ("LOGJAM", rules::TLS_WEAK_DH_GROUP),
    ("LOGJAM-common_primes", rules::TLS_WEAK_DH_GROUP),
    ("LOGJAM_common primes", rules::TLS_WEAK_DH_GROUP),
    ("LUCKY13", rules::TLS_WEAK_CIPHER_CBC),
    ("OCSP_stapling", rules::TLS_NO_OCSP_STAPLING),
    ("PFS", rules::TLS_NO_FORWARD_SECRECY),
    ("PFS_ECDHE_curves", rules::TLS_WEAK_CURVE),
    ("POODLE_SSL", rules::TLS_WEAK_PROTOCOL_SSLV3),
    ("POODLE_TLS", rules::TLS_POODLE_TLS),
    ("RC4", rules::TLS_WEAK_CIPHER_RC4),
    ("ROBOT", rules::TLS_ROBOT),
    ("SSLv2", rules::TLS_WEAK_PROTOCOL_SSLV2),
    ("SSLv3", rules::TLS_WEAK_PROTOCOL_SSLV3),
    ("SWEET32", rules::TLS_WEAK_CIPHER_DES),
    ("TLS1", rules::TLS_WEAK_PROTOCOL_TLSV1_0),
    ("TLS1_1", rules::TLS_WEAK_PROTOCOL_TLSV1_1),
    ("cert_crlRevoked", rules::TLS_CERTIFICATE_REVOKED),
    ("cert_extlifeSpan", rules::TLS_CERTIFICATE_LONG_VALIDITY),
    ("cert_keySize", rules::TLS_WEAK_KEY),
    ("cert_notBefore", rules::TLS_CERTIFICATE_NOT_YET_VALID),
    ("cert_ocspRevoked", rules::TLS_CERTIFICATE_REVOKED),
    ("cert_signatureAlgorithm", rules::TLS_WEAK_SIGNATURE),
    ("cert_validityPeriod", rules::TLS_CERTIFICATE_LONG_VALIDITY),
    ("cipherlist_3DES", rules::TLS_WEAK_CIPHER_DES),
    ("cipherlist_3DES_IDEA", rules::TLS_WEAK_CIPHER_DES),
    ("cipherlist_AVERAGE", rules::TLS_WEAK_CIPHER_CBC),
    ("cipherlist_EXPORT", rules::TLS_WEAK_CIPHER_EXPORT),
    ("cipherlist_LOW", rules::TLS_WEAK_CIPHER_OTHER),
    ("cipherlist_NULL", rules::TLS_WEAK_CIPHER_NULL),
    ("cipherlist_OBSOLETED", rules::TLS_WEAK_CIPHER_CBC),
    ("cipherlist_aNULL", rules::TLS_WEAK_CIPHER_ANONYMOUS),
    ("fallback_SCSV", rules::TLS_NO_FALLBACK_SCSV),
    ("heartbleed", rules::TLS_HEARTBLEED),
    ("secure_client_renego", rules::TLS_CLIENT_RENEGOTIATION),
    ("secure_renego", rules::TLS_INSECURE_RENEGOTIATION),
    ("ticketbleed", rules::TLS_TICKETBLEED),
];

/// The same for rows about the web site behind TLS. A missing `security_headers` means none of them was sent.
const SITES: &[(&str, &[Rule])] = &[
    ("BREACH", &[rules::HTTP_COMPRESSION_WITH_TLS]),
    ("HSTS", &[rules::HTTP_HEADER_MISSING_HSTS]),
    ("HSTS_time", &[rules::HTTP_HEADER_WEAK_HSTS]),
    ("cookie_httponly", &[rules::HTTP_COOKIE_WITHOUT_HTTPONLY]),
    ("cookie_secure", &[rules::HTTP_COOKIE_WITHOUT_SECURE]),
    ("ip_in_header", &[rules::HTTP_INTERNAL_ADDRESS_DISCLOSED]),
    ("ipv4_in_header", &[rules::HTTP_INTERNAL_ADDRESS_DISCLOSED]),
    (
        "security_headers",
        &[
            rules::HTTP_HEADER_MISSING_CSP,
            rules::HTTP_HEADER_MISSING_X_CONTENT_TYPE_OPTIONS,
            rules::HTTP_HEADER_MISSING_X_FRAME_OPTIONS,
        ],
    ),
];

/// What a row of at least low severity means. `has_name` tells whether the target was looked at by a name.
pub(super) fn meaning(id: &str, finding: &str, has_name: bool) -> Meaning {
    let finding = finding.trim();
    match id {
        "HSTS" if !finding.starts_with("not offered") => Meaning::Site(&[rules::HTTP_HEADER_WEAK_HSTS]),
        "cert_expirationStatus" | "cert_expiration_status" if finding.starts_with("expired") => {
            Meaning::Tls(rules::TLS_CERTIFICATE_EXPIRED)
        }
        "cert_expirationStatus" | "cert_expiration_status" => Meaning::Tls(rules::TLS_CERTIFICATE_EXPIRING),
        // Graded as the status that was told before.
        "cert_notAfter" => Meaning::Repeated,
        "cert_trust" if !has_name => Meaning::Repeated,
        "cert_trust" if finding.contains("does not match") => Meaning::Tls(rules::TLS_CERTIFICATE_NAME_MISMATCH),
        "cert_chain_of_trust" if finding.contains("self signed CA") => Meaning::Tls(rules::TLS_CERTIFICATE_UNTRUSTED),
        "cert_chain_of_trust" if finding.contains("self signed") => Meaning::Tls(rules::TLS_CERTIFICATE_SELF_SIGNED),
        "cert_chain_of_trust" if finding.contains("expired") => Meaning::Tls(rules::TLS_CERTIFICATE_EXPIRED),
        "cert_chain_of_trust" => Meaning::Tls(rules::TLS_CERTIFICATE_UNTRUSTED),
        "cert_keySize" | "cert_signatureAlgorithm" if finding.contains("unknown") => Meaning::Own,
        _ => listed(id),
    }
}

fn listed(id: &str) -> Meaning {
    // Version 2.9 wrote some of the names in small letters.
    if let Some((_, rule)) = RULES.iter().find(|(name, _)| name.eq_ignore_ascii_case(id)) {
        return Meaning::Tls(*rule);
    }
    SITES.iter().find(|(name, _)| name.eq_ignore_ascii_case(id)).map_or(Meaning::Own, |(_, rules)| Meaning::Site(rules))
}

/// Whether a row of WARN says nothing about the target: Debian's OpenSSL has no GOST engine.
pub(super) fn is_of_the_machine(id: &str) -> bool {
    id == "engine_problem"
}

/// `cert#1` of `cert_keySize <cert#1>`.
pub(super) fn part(id: &str) -> &str {
    id.split_once('<').map_or("", |(_, part)| part.trim_end_matches('>').trim())
}

/// `cert_keySize <cert#1>` is `cert_keySize` of the first of several certificates.
pub(super) fn plain_id(id: &str) -> &str {
    id.split([' ', '<']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grade_is_no_finding_and_not_ok_is_one() {
        for id in ["overall_grade", "final_score", "cipher_strength_score_weighted", "grade_cap_reason_1"] {
            assert!(is_rating(id), "{id}");
        }
        assert!(matches!(meaning("cipherlist_x", "offered", true), Meaning::Own));
        assert_eq!((severity("NOT ok"), severity("OK")), (Some(Severity::Medium), Some(Severity::Info)));
    }
}
