//! The canonical rules: one name, severity and text for one weakness, whichever tool saw it. Findings are known across
//! scans and tools by these names, so a name never changes its meaning and is never used again for something else.
//!
//! To add one: a line in the table of its kind. Severities and texts are ours.

mod service;
mod tls;
mod web;

use picket_domain::Severity;

pub(crate) use self::{service::*, tls::*, web::*};

/// What is known of a weakness before anybody has seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Its canonical name, e.g. `tls.certificate_expired`.
    pub(crate) id: &'static str,
    /// How bad it usually is.
    pub(crate) severity: Severity,
    /// One line for the reader.
    pub(crate) title: &'static str,
    /// What it means.
    pub(crate) description: &'static str,
    /// What to do about it.
    pub(crate) remediation: &'static str,
}

macro_rules! rules {
    ($($name:ident = $id:literal, $severity:ident, $title:literal, $description:literal, $remediation:literal;)*) => {
        $(pub(crate) const $name: crate::rules::Rule = crate::rules::Rule {
            id: $id,
            severity: picket_domain::Severity::$severity,
            title: $title,
            description: $description,
            remediation: $remediation,
        };)*

        /// Every rule of this table.
        #[cfg(test)]
        pub(super) const TABLE: &[crate::rules::Rule] = &[$($name),*];
    };
}
use rules;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_name_of_its_own_and_all_its_texts() {
        let rules: Vec<Rule> = [tls::TABLE, web::TABLE, service::TABLE].concat();
        let mut ids: Vec<&str> = rules.iter().map(|rule| rule.id).collect();
        ids.sort_unstable();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        for rule in rules {
            assert!(
                rule.id.contains('.') && !rule.id.contains(|c: char| c.is_whitespace() || c.is_uppercase()),
                "{rule:?}"
            );
            assert!(!rule.title.is_empty() && !rule.title.ends_with('.'), "{rule:?}");
            assert!(rule.description.ends_with('.'), "{rule:?}");
            assert!(rule.remediation.ends_with('.') || rule.severity == Severity::Info, "{rule:?}");
        }
    }
}
