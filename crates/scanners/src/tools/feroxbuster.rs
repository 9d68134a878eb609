//! Paths that feroxbuster found (`--json`, lines, and its text). Import only. The last line of the former, the statistics,
//! says that it finished; nothing says so in the text.

use std::io::BufRead;

use crate::{
    Context, Format, Head, Parsed,
    import::{self, Import},
    json,
    page::Page,
    paths,
    tally::Tally,
    text,
};

pub(super) const FORMATS: &[&dyn Format] = &[
    &Import { tool: "feroxbuster", name: "jsonl", blanks: &[""], recognizes, read },
    &Import { tool: "feroxbuster", name: "text", blanks: &[], recognizes: is_text, read: read_text },
];

fn is_text(head: &Head<'_>) -> bool {
    answer(&text::plain(head.first_line())).is_some()
}

fn read_text(input: &mut dyn BufRead, context: &Context<'_>, tally: Tally<'_>) -> Parsed {
    import::texts(input, tally, &mut |line, tally| {
        let line = text::plain(line);
        let Some((status, size, url)) = answer(&line) else { return line.starts_with("MSG ") || line.starts_with("WLD ") };
        let Some(page) = Page::of(url, context) else { return false };
        let evidence = format!("{}\nstatus: {status}\nsize: {size}", page.path);
        tally.tell(paths::found(&page.path, Some(status), &evidence).observed(&page.place()));
        true
    })
}

/// `200      GET        7l       12w      153c http://192.0.2.1/a`, with `=> …` behind a redirect.
fn answer(line: &str) -> Option<(u16, u64, &str)> {
    let mut words = line.split_whitespace();
    let status = words.next().filter(|word| word.len() == 3)?.parse().ok()?;
    let is_method = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
    let mut number = |letter: char| words.next()?.strip_suffix(letter)?.parse::<u64>().ok();
    // Before version 2.4 the method was not printed.
    let behind = line.split_whitespace().nth(1).filter(|word| is_method(word));
    if behind.is_some() {
        number('\0');
    }
    number('l')?;
    number('w')?;
    let size = number('c')?;
    words.next().filter(|url| url.starts_with("http://") || url.starts_with("https://")).map(|url| (status, size, url))
}

fn recognizes(head: &Head<'_>) -> bool {
    let first = Head { text: head.first_line(), is_whole: true };
    let is_start = first.is_json('{', &["type", "wordlist", "target_url"]);
    is_start || first.is_json('{', &["type", "original_url", "wildcard", "status"])
}

fn read(input: &mut dyn BufRead, context: &Context<'_>, tally: Tally<'_>) -> Parsed {
    let mut is_ended = false;
    let mut tally = tally;
    let (mut all, mut whole) = (0_u64, 0_u64);
    let lines = json::lines(input, &mut |line| {
        all = all.saturating_add(1);
        let Ok(value) = json::value(line) else { return };
        match json::text(&value, "type") {
            "response" => {
                let Some(page) = Page::of(json::text(&value, "url"), context) else { return };
                let number = |key: &str| json::number(&value, key).unwrap_or_default();
                let status = value.get("status").and_then(serde_json::Value::as_u64);
                let status = status.and_then(|status| u16::try_from(status).ok());
                let evidence = format!("{}\nstatus: {}\nsize: {}", page.path, number("status"), number("content_length"));
                tally.tell(paths::found(&page.path, status, &evidence).observed(&page.place()));
            }
            "statistics" => is_ended = true,
            _ => {}
        }
        whole = whole.saturating_add(1);
    });
    if lines.is_ok() && whole > 0 && whole == all && !is_ended {
        return import::incomplete(tally, "feroxbuster did not say that it finished");
    }
    // The end is known by the record: it needs no line feed.
    let lines = lines.map(|lines| json::Lines { is_cut: lines.is_cut && !is_ended, ..lines });
    Parsed { is_unmarked: false, ..import::end_lines(tally, lines, whole, all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_all_versions_tells_paths() {
        let report = "200      GET        7l       12w      153c http://192.0.2.7/.git/HEAD\n\u{1b}[32m301\u{1b}[0m      GET        0l        0w        0c http://192.0.2.7/a => http://192.0.2.7/a/\n\
                      MSG      0.000 feroxbuster::heuristics detected directory listing\n403        9l       28w      275c http://192.0.2.7/b\n";
        let format = crate::recognize(&Head::new(report.as_bytes(), true)).expect("a text of feroxbuster");
        let (parsed, seen) = crate::testing::read(format, report.as_bytes());
        assert!(parsed.is_complete() && !parsed.clone().of_a_file().is_complete(), "{parsed:?}");
        let rules: Vec<&str> = seen.iter().map(|one| one.rule.as_str()).collect();
        assert_eq!(rules, ["http.git_exposed", "http.interesting_path", "http.interesting_path"]);
    }
}
