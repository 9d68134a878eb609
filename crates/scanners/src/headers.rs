//! Which rule a missing or weak response header and a careless cookie are of: one table for every tool that looks at
//! headers. Such findings are of the site, so they are reported at its root path.

use crate::{
    rules::{self, Rule},
    weakness::Weakness,
};

/// Headers that a site should send, in lower case, with what tools call them besides.
const HEADERS: &[(&str, Rule)] = &[
    ("strict-transport-security", rules::HTTP_HEADER_MISSING_HSTS),
    ("content-security-policy", rules::HTTP_HEADER_MISSING_CSP),
    ("content security policy", rules::HTTP_HEADER_MISSING_CSP),
    ("x-content-type-options", rules::HTTP_HEADER_MISSING_X_CONTENT_TYPE_OPTIONS),
    ("x-frame-options", rules::HTTP_HEADER_MISSING_X_FRAME_OPTIONS),
    ("anti-clickjacking", rules::HTTP_HEADER_MISSING_X_FRAME_OPTIONS),
    ("referrer-policy", rules::HTTP_HEADER_MISSING_REFERRER_POLICY),
    ("permissions-policy", rules::HTTP_HEADER_MISSING_PERMISSIONS_POLICY),
    ("permissions policy", rules::HTTP_HEADER_MISSING_PERMISSIONS_POLICY),
    ("feature-policy", rules::HTTP_HEADER_MISSING_PERMISSIONS_POLICY),
    ("cross-origin-embedder-policy", rules::HTTP_HEADER_MISSING_CROSS_ORIGIN_POLICY),
    ("cross-origin-opener-policy", rules::HTTP_HEADER_MISSING_CROSS_ORIGIN_POLICY),
    ("cross-origin-resource-policy", rules::HTTP_HEADER_MISSING_CROSS_ORIGIN_POLICY),
    ("cache-control", rules::HTTP_HEADER_MISSING_CACHE_CONTROL),
];

/// How tools say that something is not there.
const MISSING: [&str; 6] = ["missing", "not set", "not present", "not defined", "not found", "absent"];

/// The rule for a site that does not send the header of that name.
pub(crate) fn missing(name: &str) -> Option<Rule> {
    HEADERS.iter().find(|(header, _)| header.eq_ignore_ascii_case(name.trim())).map(|(_, rule)| *rule)
}

/// The rule for a sentence that says a header is missing. Sentences about headers that are old or strange say no such thing.
pub(crate) fn missing_in(sentence: &str) -> Option<Rule> {
    let sentence = sentence.to_ascii_lowercase();
    if sentence.contains("deprecated") || !MISSING.iter().any(|word| sentence.contains(word)) {
        return None;
    }
    let named = HEADERS.iter().find(|(header, _)| sentence.contains(header)).map(|(_, rule)| *rule);
    named.or_else(|| sentence.contains("csp is not set").then_some(rules::HTTP_HEADER_MISSING_CSP))
}

/// What a tool says of headers of the site as a whole.
pub(crate) fn weakness(rule: Rule, evidence: &str) -> Weakness {
    Weakness::of(rule, evidence).at("/")
}

/// What a tool says of one cookie. Its value, which some tools print behind the name, is a secret and of no identity.
pub(crate) fn cookie(rule: Rule, name: &str, evidence: &str) -> Weakness {
    Weakness::of(rule, evidence).at("/").about(cookie_name(name))
}

/// The name in `session`, `session=abc; Path=/` or a whole header.
pub(crate) fn cookie_name(text: &str) -> &str {
    const HEADER: &str = "set-cookie:";
    let text = text.trim();
    let is_header = text.get(..HEADER.len()).is_some_and(|head| head.eq_ignore_ascii_case(HEADER));
    let cookie = if is_header { text.get(HEADER.len()..).unwrap_or_default() } else { text };
    cookie.split(['=', ';']).next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_of_many_tools_are_of_one_rule() {
        for (sentence, rule) in [
            ("Suggested security header missing: strict-transport-security.", rules::HTTP_HEADER_MISSING_HSTS),
            (
                "The anti-clickjacking X-Frame-Options header is not present.",
                rules::HTTP_HEADER_MISSING_X_FRAME_OPTIONS,
            ),
            ("X-Frame-Options is not set", rules::HTTP_HEADER_MISSING_X_FRAME_OPTIONS),
            ("CSP is not set", rules::HTTP_HEADER_MISSING_CSP),
            ("Content Security Policy (CSP) Header Not Set", rules::HTTP_HEADER_MISSING_CSP),
            ("X-Content-Type-Options Header Missing", rules::HTTP_HEADER_MISSING_X_CONTENT_TYPE_OPTIONS),
        ] {
            assert_eq!(missing_in(sentence), Some(rule), "{sentence}");
        }
    }

    #[test]
    fn a_cookie_is_its_name_however_it_is_written() {
        for text in ["session", " session=abc; Path=/", "Set-Cookie: session=abc", "set-cookie:session"] {
            assert_eq!(cookie_name(text), "session", "{text}");
        }
    }

    #[test]
    fn other_sentences_about_headers_are_of_none() {
        for sentence in [
            "X-Frame-Options header is deprecated and was not set",
            "Uncommon header 'x-frame-options' found",
            "X-XSS-Protection is not set",
            "",
        ] {
            assert_eq!(missing_in(sentence), None, "{sentence}");
        }
        assert_eq!(missing("X-Powered-By"), None);
    }
}
