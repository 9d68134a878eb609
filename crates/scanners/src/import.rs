//! A format that is only read: a table entry in place of an implementation. Files are hostile; what their parsers share
//! about how a file may end is here.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    io::BufRead,
};

use picket_domain::{Gap, Observation};

use crate::{Context, Format, Head, Parsed, json, tally::Tally, text};

/// Repetitions are noticed among so many different records; later ones are told again.
const MAX_SEEN: usize = 1 << 16;

/// What parsers call the host of what names none.
const NAMELESS: [&str; 2] = [UNNAMED, REPOSITORY];
pub(crate) const UNNAMED: &str = "unnamed";
/// Where files of source text are.
pub(crate) const REPOSITORY: &str = "repository";

/// Whether a host is only the word for one that neither the report nor its [`Context`] names.
#[must_use]
pub fn is_nameless(host: &str) -> bool {
    NAMELESS.contains(&host)
}

/// One format of one tool.
pub(crate) struct Import {
    /// The tool's slug.
    pub(crate) tool: &'static str,
    /// The format's name.
    pub(crate) name: &'static str,
    /// What it writes when it found nothing, if that is not its usual frame.
    pub(crate) blanks: &'static [&'static str],
    /// Whether a file that begins so is of this format.
    pub(crate) recognizes: fn(&Head<'_>) -> bool,
    /// Reads a whole file.
    pub(crate) read: fn(&mut dyn BufRead, &Context<'_>, Tally<'_>) -> Parsed,
}

impl Format for Import {
    fn tool(&self) -> &'static str {
        self.tool
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn blanks(&self) -> &'static [&'static str] {
        self.blanks
    }

    fn recognizes(&self, head: &Head<'_>) -> bool {
        (self.recognizes)(head)
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        (self.read)(input, context, Tally::new(sink))
    }
}

/// How a JSON document ended.
pub(crate) fn end(tally: Tally<'_>, fault: Option<&json::Fault>) -> Parsed {
    match fault {
        None => tally.end(None),
        Some(json::Fault::Empty | json::Fault::Foreign | json::Fault::Trailing) => {
            tally.refuse(fault.map(ToString::to_string).unwrap_or_default())
        }
        Some(fault) => incomplete(tally, &fault.to_string()),
    }
}

/// How a file of lines ended: `whole` lines of `all` could be read.
pub(crate) fn end_lines(tally: Tally<'_>, lines: Result<json::Lines, json::Fault>, whole: u64, all: u64) -> Parsed {
    match lines {
        _ if all == 0 => tally.refuse("the output is empty"),
        _ if whole == 0 => tally.refuse("the output is not a report of this tool"),
        Err(fault) => incomplete(tally, &fault.to_string()),
        Ok(lines) if lines.left_out > 0 => incomplete(tally, "the output holds a line of more than 4 MiB"),
        Ok(_) if whole < all => incomplete(tally, "the output holds lines that cannot be understood"),
        // Without its line feed a line may have gone on: a port 80 could have been 8080.
        Ok(lines) if lines.is_cut => incomplete(tally, "the last line has no end"),
        Ok(_) => unmarked(tally.end(None)),
    }
}

/// The end of an output whose format cannot say that it is whole.
pub(crate) fn unmarked(parsed: Parsed) -> Parsed {
    Parsed { is_unmarked: true, ..parsed }
}

/// The end of an output that lacks something.
pub(crate) fn incomplete(tally: Tally<'_>, reason: &str) -> Parsed {
    tally.end(Some((Gap::OutputIncomplete, reason.to_owned())))
}

/// Reads lines of JSON objects.
pub(crate) fn objects(
    input: &mut dyn BufRead,
    tally: Tally<'_>,
    each: &mut dyn FnMut(&serde_json::Value, &mut Tally<'_>) -> bool,
) -> Parsed {
    each_line(input, tally, &mut |line, tally| json::value(line).is_ok_and(|value| each(&value, tally)))
}

/// Reads lines of text.
pub(crate) fn texts(
    input: &mut dyn BufRead,
    tally: Tally<'_>,
    each: &mut dyn FnMut(&str, &mut Tally<'_>) -> bool,
) -> Parsed {
    each_line(input, tally, &mut |line, tally| each(&String::from_utf8_lossy(line), tally))
}

/// Says of each line whether it could be understood.
fn each_line(
    input: &mut dyn BufRead,
    mut tally: Tally<'_>,
    each: &mut dyn FnMut(&[u8], &mut Tally<'_>) -> bool,
) -> Parsed {
    let (mut all, mut whole) = (0_u64, 0_u64);
    let lines = json::lines(input, &mut |line| {
        all = all.saturating_add(1);
        whole = whole.saturating_add(u64::from(each(line, &mut tally)));
    });
    end_lines(tally, lines, whole, all)
}

/// Which records were there already. Does not grow beyond a bound.
#[derive(Default)]
pub(crate) struct Seen(HashSet<u64>);

impl Seen {
    /// Whether this is the first of its kind.
    pub(crate) fn is_new(&mut self, record: &impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        record.hash(&mut hasher);
        let hash = hasher.finish();
        if self.0.len() < MAX_SEEN { self.0.insert(hash) } else { !self.0.contains(&hash) }
    }
}

/// The host of findings that are of no host: an artifact's name in the characters of a location, `instead` when nothing of
/// it is left.
pub(crate) fn artifact(name: &str, instead: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-/:@+".contains(c) { c.to_ascii_lowercase() } else { '-' };
    let name: String = text::prefix(name.trim(), 200).chars().map(plain).collect();
    let name = name.trim_matches(['-', '.', '/', ':']);
    if name.is_empty() { instead.to_owned() } else { name.to_owned() }
}

/// The number in `CWE-79`, `cwe-79`, `external/cwe/cwe-079` or `79`.
pub(crate) fn cwe(text: &str) -> Option<u32> {
    let name = text.rsplit('/').next()?.split(':').next()?.trim();
    let digits = name.strip_prefix("CWE-").or_else(|| name.strip_prefix("cwe-")).unwrap_or(name);
    digits.parse().ok().filter(|number| (1..100_000).contains(number))
}

/// `text` at every path of keys that is there, the first that is not empty.
pub(crate) fn first<'v>(value: &'v serde_json::Value, keys: &[&str]) -> &'v str {
    keys.iter().map(|key| json::text(value, key)).find(|text| !text.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifacts_name_becomes_a_plain_one() {
        assert_eq!(artifact("Registry.example/App:1.2 <x>", "image"), "registry.example/app:1.2--x");
        assert_eq!(artifact(".", "image"), "image");
        assert_eq!(artifact("", "image"), "image");
    }

    #[test]
    fn a_kind_of_weakness_is_read_in_all_spellings() {
        for (text, number) in [
            ("CWE-79", Some(79)),
            ("external/cwe/cwe-079", Some(79)),
            ("352", Some(352)),
            ("CWE-79: XSS", Some(79)),
            ("CVE-1", None),
            ("0", None),
        ] {
            assert_eq!(cwe(text), number, "{text}");
        }
    }

    #[test]
    fn a_file_without_an_end_mark_is_whole_only_for_who_ran_the_tool() {
        let read = |report: &str| {
            let format = crate::recognize(&Head::new(report.as_bytes(), true)).unwrap();
            format.parse(&mut report.as_bytes(), &Context::default(), &mut |_| {})
        };
        let bare = read("/a (Status: 200) [Size: 1]\n");
        assert!(bare.is_complete());
        let bare = bare.of_a_file();
        assert_eq!(bare.gap, Some(Gap::OutputIncomplete));
        assert!(bare.reason.contains("no end mark"), "{}", bare.reason);
        let banner = "Gobuster v3.6\n[+] Url:  http://192.0.2.1/\n/a (Status: 200) [Size: 1]\n";
        assert!(!read(banner).is_complete(), "the banner promises the end");
        assert!(read(&format!("{banner}Finished\n")).of_a_file().is_complete());
    }

    #[test]
    fn an_editors_mark_before_the_first_line_changes_nothing() {
        for report in [
            "[22][ssh] host: 192.0.2.1   login: a   password: b\n",
            "# Hydra v9.4 run at 2024\n[22][ssh] host: 192.0.2.1   login: a   password: b\n",
            "/admin (Status: 200) [Size: 1]\n",
            "{\"host\":\"a.example\",\"ip\":\"192.0.2.1\",\"port\":80,\"timestamp\":\"x\",\"protocol\":\"tcp\",\"tls\":false}\n",
            "[\n{ \"ip\": \"192.0.2.1\", \"ports\": [ {\"port\": 80, \"proto\": \"tcp\", \"status\": \"open\"} ] },\n]\n",
            "200   1KB  http://192.0.2.1/admin\n",
        ] {
            let read = |text: &str| {
                let mut seen = Vec::new();
                let format = crate::recognize(&Head::new(text.as_bytes(), true));
                let parsed =
                    format.map(|one| one.parse(&mut text.as_bytes(), &Context::default(), &mut |one| seen.push(one)));
                (parsed, seen)
            };
            assert_eq!(read(&format!("\u{feff}{report}")), read(report), "{report}");
        }
    }

    #[test]
    fn repetitions_are_noticed_up_to_a_bound() {
        let mut seen = Seen::default();
        assert!(seen.is_new(&("a", 1)) && !seen.is_new(&("a", 1)) && seen.is_new(&("a", 2)));
        for number in 0..MAX_SEEN * 2 {
            seen.is_new(&number);
        }
        assert_eq!(seen.0.len(), MAX_SEEN);
    }
}
