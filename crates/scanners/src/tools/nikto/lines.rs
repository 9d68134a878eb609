//! What Nikto writes for people and spreadsheets: its text (`-Format txt`), its CSV, and what it prints on the screen. Version
//! 2.1.5 garbles numbers of two of them, so a row's host and port are those of the host's own row.

use std::{borrow::Cow, io::BufRead};

use csv::ReaderBuilder;
use picket_domain::Gap;

use super::{item::Item, report::{Trouble, is_tls_port}};
use crate::{Context, Head, Parsed, import, json, page::Page, tally::Tally, text};

const METHODS: [&str; 12] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "TRACK", "CONNECT", "PROPFIND", "DEBUG", "SEARCH"];
/// What a line that is no item begins with, or holds.
const BEGINS: [&str; 14] = [
    "Target IP:", "Target Hostname:", "Start Time:", "End Time:", "Server:", "Subject:", "Ciphers:", "Issuer:", "Platform:", "Root page",
    "No CGI Directories", "Multiple IP", "Message:", "Site Link",
];

/// Rows have seven, and some more where a quote was not escaped.
const MAX_CELLS: usize = 32;

pub(super) fn is_text(head: &Head<'_>) -> bool {
    head.first_line().starts_with("- Nikto v")
}

pub(super) fn is_table(head: &Head<'_>) -> bool {
    head.first_line().starts_with("\"Nikto - v")
}

/// The host whose items are read.
struct Site<'c> {
    context: &'c Context<'c>,
    host: Option<String>,
    port: Option<u16>,
    is_tls: bool,
}

impl Site<'_> {
    fn page(&self) -> Option<Page> {
        let (host, port) = (self.host.clone()?, self.port?);
        Some(Page { host, port, is_tls: self.is_tls || is_tls_port(port), path: "/".to_owned() })
    }

    /// A name that stands for an address, or the address.
    fn is(&mut self, name: &str) {
        self.host = self.context.site(name);
    }
}

pub(super) fn read_text(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let mut site = Site { context, host: None, port: None, is_tls: false };
    let (mut trouble, mut all, mut end) = (Trouble::default(), 0_u64, End::default());
    let lines = json::lines(input, &mut |line| {
        let line = crate::text::plain(&String::from_utf8_lossy(line));
        all = all.saturating_add(1);
        end.notice(&line);
        let Some(said) = line.strip_prefix("+ ") else { return };
        match said.split_once(':').map(|(name, value)| (name, value.trim())) {
            Some(("Target Host", name)) => (site.host, site.port, site.is_tls) = (context.site(name), None, false),
            // The name that was asked for is what findings are of; on the screen the address comes first.
            Some(("Target IP", address)) => (site.host, site.port, site.is_tls) = (context.site(address), None, false),
            Some(("Target Hostname" | "Virtual Host", name)) => site.is(name),
            Some(("Target Port", number)) => {
                site.port = number.parse().ok().filter(|port| *port != 0);
                if site.page().is_some() { tally.host_up() }
            }
            Some(("SSL Info", _)) => site.is_tls = true,
            _ if is_note(said) => {}
            _ => {
                let page = site.page();
                trouble.read(&item(said), page.as_ref().map(Page::place).as_ref(), context, &mut tally);
            }
        }
    });
    match lines {
        _ if all < 2 => tally.refuse("the output holds no host of Nikto"),
        Err(fault) => import::incomplete(tally, &fault.to_string()),
        Ok(lines) if lines.is_cut => import::incomplete(tally, "the last line has no end"),
        Ok(lines) if lines.left_out > 0 => import::incomplete(tally, "the output holds a line of more than 4 MiB"),
        Ok(_) => end.of(trouble, tally),
    }
}

/// How the output ends. The file has no mark; the screen says how many hosts were tested, and whether a scan was stopped.
#[derive(Default)]
struct End {
    is_screen: bool,
    is_finished: bool,
    is_stopped: bool,
}

impl End {
    fn notice(&mut self, line: &str) {
        let is_begun = line.starts_with("+ Target IP:");
        self.is_screen |= is_begun;
        // Another run behind this one has an end of its own.
        self.is_finished = line.ends_with("host(s) tested") || self.is_finished && !is_begun;
        self.is_stopped |= super::is_terminated(line);
    }

    fn of(self, trouble: Trouble, tally: Tally<'_>) -> Parsed {
        if self.is_screen && !self.is_finished {
            return import::incomplete(tally, "nikto did not say that it finished");
        }
        let parsed = trouble.end(tally);
        match parsed.gap {
            None if self.is_stopped => {
                Parsed { gap: Some(Gap::TimedOut), reason: "nikto ended the checks before they were done".to_owned(), ..parsed }
            }
            None if !self.is_screen => import::unmarked(parsed),
            _ => parsed,
        }
    }
}

fn is_note(said: &str) -> bool {
    BEGINS.iter().any(|begin| said.starts_with(begin))
        || super::is_terminated(said)
        || said.ends_with("host(s) tested")
        || [" items checked:", " requests:", " requests made"].iter().any(|part| said.contains(part) && said.starts_with(|c: char| c.is_ascii_digit()))
}

/// `OSVDB-3092: GET /backup/: This might be interesting...`, each part but the last may be missing.
fn item(said: &str) -> Item {
    let (mut item, mut rest) = (Item::default(), said);
    if let Some((id, behind)) = rest.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        (item.id, rest) = (text::line(id, 20), behind);
    }
    let number = |word: &str| Some(word.strip_prefix("OSVDB").unwrap_or(word).strip_prefix('-')?.to_owned());
    if let Some((word, behind)) = rest.split_once(": ")
        && let Some(number) = number(word).filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    {
        (item.osvdb, rest) = (text::line(&number, 20), behind);
    }
    if let Some((method, behind)) = rest.split_once(' ').filter(|(method, _)| METHODS.contains(method)) {
        (item.method, rest) = (method.to_owned(), behind);
    }
    if let Some((path, behind)) = rest.split_once(": ").filter(|(path, _)| path.starts_with('/') && !path.contains(' ')) {
        (item.url, rest) = (text::line(path, 2000), behind);
    }
    // The path is told twice where the message names it as well.
    let rest = rest.strip_prefix(item.url.as_str()).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(rest);
    let (message, references) = rest.split_once(" See: ").unwrap_or((rest, ""));
    (item.message, item.references) = (message.to_owned(), references.to_owned());
    item
}

/// Rows of seven cells: host, address, port, number, method, path, message. A host's own row has neither number nor path.
pub(super) fn read_table(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let mut site = Site { context, host: None, port: None, is_tls: false };
    let (mut trouble, mut all, mut whole) = (Trouble::default(), 0_u64, 0_u64);
    let lines = json::lines(input, &mut |line| {
        all = all.saturating_add(1);
        let Some(cells) = cells(line) else { return };
        whole = whole.saturating_add(1);
        let cell = |at: usize| cells.get(at).map(Cow::as_ref).unwrap_or_default();
        let is_host = cells.len() == 7 && [3, 4, 5].into_iter().all(|at| cell(at).is_empty());
        if is_host {
            let named = context.site(cell(0)).or_else(|| context.site(cell(1)));
            (site.host, site.port) = (named, cell(2).parse().ok().filter(|port| *port != 0));
            if site.page().is_some() { tally.host_up() }
        } else if cells.len() > 5 {
            // Counted from the end: the cells of address and port may have become one.
            let from_end = |back: usize| cells.len().checked_sub(back).map(cell).unwrap_or_default();
            let osvdb = from_end(4).strip_prefix("OSVDB-").unwrap_or_default();
            let item = Item {
                osvdb: text::line(osvdb, 20),
                method: text::line(from_end(3), 20),
                url: text::line(from_end(2), 2000),
                message: from_end(1).to_owned(),
                references: if osvdb.is_empty() { from_end(4).to_owned() } else { String::new() },
                ..Item::default()
            };
            let page = site.page();
            trouble.read(&item, page.as_ref().map(Page::place).as_ref(), context, &mut tally);
        }
    });
    if tally.hosts() == 0 && lines.is_ok() && whole == all {
        return import::incomplete(tally, "no host was examined");
    }
    match lines {
        Ok(lines) if whole == all && lines.left_out == 0 && !lines.is_cut => import::unmarked(trouble.end(tally)),
        lines => import::end_lines(tally, lines, whole, all),
    }
}

/// The cells of one row, whose quotes are escaped by a backslash; none of one with more than any version writes.
fn cells(line: &[u8]) -> Option<Vec<Cow<'static, str>>> {
    let is_closed = line.last() == Some(&b'"');
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).double_quote(false).escape(Some(b'\\')).from_reader(line);
    let record = reader.byte_records().next()?.ok()?;
    let text = |cell: &[u8]| Cow::Owned(String::from_utf8_lossy(cell).trim().to_owned());
    (is_closed && record.len() <= MAX_CELLS).then(|| record.iter().map(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{recognize, testing};

    /// As version 2.1.5 printed it of a server of the test's, its faults included.
    const TABLE: &str = include_str!("../../../testdata/nikto/report.csv");
    const TEXT: &str = include_str!("../../../testdata/nikto/report.txt");
    const SCREEN: &str = include_str!("../../../testdata/nikto/screen.txt");

    fn read(report: &str) -> (Parsed, Vec<(String, String, String)>, Vec<String>) {
        let format = recognize(&Head::new(report.as_bytes(), true)).expect("a report of Nikto");
        assert_eq!(format.tool(), "nikto");
        let (parsed, seen) = testing::read(format, report.as_bytes());
        let urls = seen.iter().filter_map(|one| one.location.url.clone()).collect();
        (parsed, testing::brief(&seen), urls)
    }

    #[test]
    fn all_outputs_of_one_run_tell_the_same() {
        let expected = ["http.header_missing.x_frame_options /", "http.robots_txt /robots.txt", "web.outdated_component /"];
        for report in [TABLE, TEXT, SCREEN] {
            let (parsed, seen, urls) = read(report);
            assert!(parsed.is_complete(), "{parsed:?}");
            assert_eq!(parsed.of_a_file().is_complete(), report == SCREEN, "the screen alone says that it ended");
            let told: Vec<String> = seen.iter().map(|(rule, path, _)| format!("{rule} {path}")).collect();
            assert_eq!(seen.len(), 5, "{told:?}");
            assert!(!told.iter().any(|one| one.starts_with("nikto: ")), "a check without a number has a name: {told:?}");
            assert!(expected.iter().all(|one| told.iter().any(|two| two == one)), "{told:?}");
            assert!(urls.iter().all(|url| url.starts_with("http://127.0.0.1:8080/")), "{urls:?}");
        }
    }

    #[test]
    fn what_was_stopped_or_cut_is_never_complete() {
        let stopped = SCREEN.replace("6469 items checked:", "Scan terminated: ");
        assert_eq!(read(&stopped).0.gap, Some(Gap::TimedOut));
        let late = SCREEN.replace("+ No CGI", "+ ERROR: Host maximum execution time of 2 seconds reached\n+ No CGI");
        assert_eq!(read(&late).0.gap, Some(Gap::TimedOut));
        assert!(!read(&SCREEN.replace("+ 1 host(s) tested\n", "")).0.is_complete());
        assert!(!read(&TABLE[..TABLE.len() - 5]).0.is_complete());
        assert!(!read("- Nikto v2.1.5/2.1.5\n").0.is_complete());
        let (cut, _) = SCREEN.split_at(SCREEN.find("+ 1 host(s) tested").unwrap());
        assert!(!read(&format!("{SCREEN}{cut}")).0.is_complete(), "the second run did not end");
        assert!(read(&format!("{SCREEN}{SCREEN}")).0.is_complete());
        assert!(!read(&format!("{TABLE}\"{}\"\n", ["x"; 33].join("\",\""))).0.is_complete());
        assert!(!read("\"Nikto - v2.1.5/2.1.5\"\n").0.is_complete());
    }

    #[test]
    fn newer_lines_carry_number_and_references() {
        let report = "- Nikto v2.6.0\n+ Target IP: 192.0.2.1\n+ Target Hostname: www.example.com\n+ Target Port: 8000\n+ SSL Info: Subject: /CN=x\n\
                      + [999990] OPTIONS /: CVE-2021-41773 is there. See: https://example.org/x\n+ 8142 requests: 0 errors and 1 items reported on the remote host\n+ 1 host(s) tested\n";
        let format = recognize(&Head::new(report.as_bytes(), true)).unwrap();
        let (parsed, seen) = testing::read(format, report.as_bytes());
        assert!(parsed.is_complete() && seen.len() == 1, "{parsed:?} {seen:?}");
        assert_eq!((seen[0].cve.as_deref(), seen[0].references.len()), (Some("CVE-2021-41773"), 1));
        assert_eq!(seen[0].location.url.as_deref(), Some("https://www.example.com:8000/"));
    }
}
