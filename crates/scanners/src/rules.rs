//! The canonical rules: one name, severity and text for one weakness, whichever tool saw it. Findings are known across
//! scans and tools by these names, so a name never changes its meaning and is never used again for something else.
//!
//! To add one: an entry in `rules.toml`; the build makes its constant.

use picket_domain::Severity;

/// What is known of a weakness before anybody has seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its canonical name, e.g. `tls.certificate_expired`.
    pub id: &'static str,
    /// How bad it usually is.
    pub severity: Severity,
    /// Its kind, by the number in the Common Weakness Enumeration.
    pub cwe: Option<u32>,
    /// One line for the reader.
    pub title: &'static str,
    /// What it means.
    pub description: &'static str,
    /// What to do about it; empty where nothing needs to be done.
    pub remediation: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/rules.rs"));

/// The rule of that name.
#[must_use]
pub fn find(id: &str) -> Option<Rule> {
    ALL.iter().find(|rule| rule.id == id).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_name_of_its_own_and_all_its_texts() {
        assert!(ALL.is_sorted_by(|a, b| a.id < b.id));
        for rule in ALL {
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '_';
            assert!(rule.id.contains('.') && rule.id.chars().all(is_name), "{rule:?}");
            assert!(!rule.title.is_empty() && !rule.title.ends_with('.'), "{rule:?}");
            assert!(rule.description.ends_with('.'), "{rule:?}");
            assert!(rule.remediation.ends_with('.') || rule.severity == Severity::Info, "{rule:?}");
            assert!(rule.cwe.is_some() || rule.severity == Severity::Info, "{rule:?}");
        }
    }

    #[test]
    fn a_rule_is_found_by_its_name() {
        assert_eq!(find("tls.weak_cipher.rc4"), Some(TLS_WEAK_CIPHER_RC4));
        assert_eq!(find("tls.weak_cipher"), None);
    }
}
