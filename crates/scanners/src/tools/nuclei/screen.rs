//! The lines that nuclei prints (and writes with `-o`): template, protocol, severity and place, each in brackets but the last.
//! What was extracted stands behind it and is left out: it can be a password. Nothing says that the file is whole.

use std::io::BufRead;

use super::{
    record::{Info, Record},
    report,
};
use crate::{Context, Head, Parsed, import, tally::Tally, text};

const SEVERITIES: [&str; 6] = ["info", "low", "medium", "high", "critical", "unknown"];
const KINDS: [&str; 12] = [
    "http", "dns", "network", "tcp", "ssl", "file", "headless", "websocket", "whois", "javascript", "code", "workflow",
];

pub(super) fn recognizes(head: &Head<'_>) -> bool {
    head.text.starts_with(['[', '\u{1b}']) && parts(&text::plain(head.first_line())).is_some()
}

/// What stands in a line.
struct Parts<'l> {
    template: &'l str,
    matcher: &'l str,
    kind: &'l str,
    severity: &'l str,
    place: &'l str,
}

/// `[git-config] [http] [medium] http://192.0.2.1/.git/config ["…"]`, with `[template:matcher]` where a matcher has a name and
/// with the time in front of all in versions before 2.9.
fn parts(line: &str) -> Option<Parts<'_>> {
    let (first, rest) = bracket(line)?;
    let (second, behind) = bracket(rest)?;
    let (name, kind, rest) = if KINDS.contains(&second) {
        (first, second, behind)
    } else {
        let is_time = first.len() == 19 && first.bytes().all(|byte| byte.is_ascii_digit() || b"-: ".contains(&byte));
        let (kind, behind) = bracket(behind).filter(|(kind, _)| is_time && KINDS.contains(kind))?;
        (second, kind, behind)
    };
    let (severity, rest) = bracket(rest).filter(|(severity, _)| SEVERITIES.contains(severity))?;
    let place = rest.split_whitespace().next().filter(|place| !place.starts_with('['))?;
    let (template, matcher) = name.split_once(':').unwrap_or((name, ""));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = !template.is_empty() && template.len() <= 150 && template.bytes().all(is_plain);
    fits.then_some(Parts { template, matcher, kind, severity, place })
}

fn bracket(text: &str) -> Option<(&str, &str)> {
    text.trim_start().strip_prefix('[')?.split_once(']')
}

pub(super) fn read(input: &mut dyn BufRead, context: &Context<'_>, tally: Tally<'_>) -> Parsed {
    import::texts(input, tally, &mut |line, tally| {
        let line = text::plain(line);
        // What it says of its own run, when the screen was kept.
        if ["[INF] ", "[WRN] ", "[ERR] ", "[DBG] ", "[VER] "].iter().any(|begin| line.starts_with(begin)) {
            return true;
        }
        let Some(parts) = parts(&line) else { return false };
        let record = Record {
            template: parts.template.into(),
            matcher: parts.matcher.into(),
            kind: parts.kind.into(),
            matched: parts.place.into(),
            info: Info { severity: parts.severity.into(), ..Info::default() },
            ..Record::default()
        };
        report::tell(&record, None, context, tally);
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn lines_are_known_as_the_records_of_the_same_matches() {
        let lines = "\u{1b}[92m[git-config]\u{1b}[0m [\u{1b}[94mhttp\u{1b}[0m] [medium] http://192.0.2.7/.git/config [\"guess-me-not\"]\n\
                     [2023-01-02 03:04:05] [CVE-2021-44228] [http] [critical] https://192.0.2.7:8443/x?token=guess-me-not\n\
                     [http-missing-security-headers:x-frame-options] [http] [info] http://192.0.2.7\n[redis-default] [tcp] [high] 192.0.2.7:6379\n";
        let records = [
            r#"{"template-id":"git-config","type":"http","info":{"severity":"medium"},"host":"http://192.0.2.7","matched-at":"http://192.0.2.7/.git/config"}"#,
            r#"{"template-id":"CVE-2021-44228","type":"http","info":{"severity":"critical"},"host":"https://192.0.2.7:8443","matched-at":"https://192.0.2.7:8443/x"}"#,
            r#"{"template-id":"http-missing-security-headers","matcher-name":"x-frame-options","type":"http","info":{"severity":"info"},"matched-at":"http://192.0.2.7"}"#,
            r#"{"template-id":"redis-default","type":"tcp","info":{"severity":"high"},"matched-at":"192.0.2.7:6379"}"#,
        ]
        .join("\n")
            + "\n";
        let read = |report: &str| {
            let format = crate::recognize(&Head::new(report.as_bytes(), true)).expect("a report of nuclei");
            assert_eq!(format.tool(), "nuclei");
            let (parsed, seen) = testing::read(format, report.as_bytes());
            assert!(parsed.is_complete() && !parsed.clone().of_a_file().is_complete(), "{parsed:?}");
            seen
        };
        let (text, json) = (read(lines), read(&records));
        let identities = |seen: &[picket_domain::Observation]| seen.iter().map(picket_domain::Observation::identity).collect::<Vec<_>>();
        assert_eq!(identities(&text), identities(&json));
        assert_eq!(text[1].cve.as_deref(), Some("CVE-2021-44228"));
        assert!(!format!("{text:?}").contains("guess-me-not"));
    }

    #[test]
    fn lines_of_others_are_not_nucleis() {
        for line in ["[22][ssh] host: 192.0.2.1   login: a   password: b\n", "[a] [b] [info] http://x/\n", "[INF] x\n", "[\n{}\n]\n", "[x] [http] [info]\n"] {
            let format = crate::recognize(&Head::new(line.as_bytes(), true));
            assert!(format.is_none_or(|format| format.tool() != "nuclei"), "{line}");
        }
    }
}
