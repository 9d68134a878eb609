//! Cipher suites by their names: those of IANA (`TLS_RSA_WITH_RC4_128_MD5`), of OpenSSL (`RC4-MD5`), and the old ones of
//! SSL 2.0 (`SSL_CK_RC4_128_WITH_MD5`). A name that is not understood tells nothing.

use crate::rules::{self, Rule};

/// Names are short; a longer one is none.
const MAX_NAME_BYTES: usize = 100;

/// The rules that a suite of that name breaks.
pub(super) fn weak_rules(name: &str) -> Vec<Rule> {
    let parts = parts(name);
    let has = |wanted: &[&str]| parts.iter().any(|part| wanted.contains(&part.as_str()));
    let verdicts = [
        (has(&["NULL"]), rules::TLS_WEAK_CIPHER_NULL),
        (has(&["ANON", "ADH", "AECDH"]), rules::TLS_WEAK_CIPHER_ANONYMOUS),
        (parts.iter().any(|part| part.starts_with("EXP")), rules::TLS_WEAK_CIPHER_EXPORT),
        (has(&["RC4", "ARCFOUR"]), rules::TLS_WEAK_CIPHER_RC4),
        (has(&["DES", "3DES", "DES40"]), rules::TLS_WEAK_CIPHER_DES),
        (has(&["RC2", "IDEA", "SEED", "FORTEZZA"]), rules::TLS_WEAK_CIPHER_OTHER),
        (is_block(&parts) && !is_aead(&parts), rules::TLS_WEAK_CIPHER_CBC),
        (lacks_forward_secrecy(&parts), rules::TLS_NO_FORWARD_SECRECY),
    ];
    verdicts.into_iter().filter(|(is_weak, _)| *is_weak).map(|(_, rule)| rule).collect()
}

/// Whether the suite encrypts by chaining blocks.
pub(super) fn is_cbc(name: &str) -> bool {
    let parts = parts(name);
    is_block(&parts) && !is_aead(&parts)
}

/// The size of a curve by its name, e.g. 192 of `prime192v1`; `None` for a name without one.
pub(super) fn curve_bits(name: &str) -> Option<u32> {
    let name = name.get(..MAX_NAME_BYTES).unwrap_or(name).to_ascii_lowercase();
    if name.contains("ffdhe") || name.contains("kyber") || name.contains("mlkem") || name.contains("wtls") {
        return None;
    }
    name.split(|c: char| !c.is_ascii_digit()).find(|digits| digits.len() == 3)?.parse().ok()
}

fn parts(name: &str) -> Vec<String> {
    let name = name.get(..MAX_NAME_BYTES).unwrap_or(name).to_ascii_uppercase();
    name.split(['_', '-']).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn is_block(parts: &[String]) -> bool {
    let families = ["AES", "CAMELLIA", "ARIA", "DES", "3DES", "IDEA", "SEED", "RC2"];
    parts.iter().any(|part| families.iter().any(|family| part.starts_with(family)))
}

fn is_aead(parts: &[String]) -> bool {
    // The names of TLS 1.3 tell no mode of CCM but in full, and know nothing else than AEAD.
    let modes = ["GCM", "CCM", "CCM8", "OCB", "POLY1305", "CHACHA20"];
    parts.iter().any(|part| modes.contains(&part.as_str()))
}

/// Whether the key of the certificate, or a shared one, is all that protects a recorded connection. Anonymous suites and
/// passwords (SRP) are other weaknesses.
fn lacks_forward_secrecy(parts: &[String]) -> bool {
    let has = |wanted: &[&str]| parts.iter().any(|part| wanted.contains(&part.as_str()));
    let is_known =
        is_block(parts) || has(&["NULL", "RC4", "ARCFOUR"]) || parts.iter().any(|part| part.starts_with("CHACHA20"));
    let is_iana = parts.first().is_some_and(|first| first == "TLS" || first == "SSL");
    let is_tls13 = is_iana && !has(&["WITH"]);
    let is_ephemeral = has(&["ECDHE", "EECDH", "DHE", "EDH", "ADH", "AECDH", "ANON", "SRP"]);
    is_known && !is_tls13 && !is_ephemeral
}
