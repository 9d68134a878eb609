//! Paths and names that gobuster found (its text). Import only.
//!
//! The text of the `dir` mode names no host: it is taken from the line `[+] Url`, else from what the import names, else it is
//! `unnamed`. A file with gobuster's banner is whole when its line `Finished` is there; without the banner (`-o`, `-q`)
//! nothing says that it is.

use std::io::BufRead;

use picket_domain::{Gap, Severity};

use crate::{
    Context, Format, Head, Parsed,
    import::{self, Import},
    json,
    page::Page,
    paths,
    tally::Tally,
    text,
    weakness::{Place, Weakness},
};

pub(super) const FORMATS: &[&dyn Format] = &[&Import { tool: "gobuster", name: "text", blanks: &[""], recognizes, read }];

fn recognizes(head: &Head<'_>) -> bool {
    let mut lines = head.text.lines().map(text::plain).filter(|line| !line.is_empty());
    let is_own = |line: String| {
        line.starts_with("Gobuster v") || line.contains("(Status: ") || line.starts_with("Found: ")
    };
    let is_rule = |line: &str| !line.is_empty() && line.bytes().all(|byte| byte == b'=');
    match lines.next() {
        Some(line) if is_rule(&line) => lines.next().is_some_and(|line| line.starts_with("Gobuster v")),
        Some(line) => is_own(line),
        None => false,
    }
}

fn read(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let (mut base, mut all, mut whole, mut errors) = (None, 0_u64, 0_u64, 0_u64);
    let (mut has_banner, mut is_finished) = (false, false);
    let lines = json::lines(input, &mut |line| {
        let line = text::plain(&String::from_utf8_lossy(line));
        all = all.saturating_add(1);
        has_banner |= line.starts_with("Gobuster v");
        is_finished |= line.starts_with("Finished") || line.contains(" Finished");
        match kind(&line) {
            Kind::Url(url) => base = Page::of_loose(url, context),
            Kind::Path(path, status) => found(path, status, &line, base.as_ref(), context, &mut tally),
            Kind::Name(name) => named(name, &line, context, &mut tally),
            Kind::Fault => errors = errors.saturating_add(1),
            Kind::Other => {}
            Kind::Foreign => return,
        }
        whole = whole.saturating_add(1);
    });
    if errors > 0 && lines.is_ok() {
        return import::incomplete(tally, &format!("gobuster told of {errors} errors"));
    }
    let parsed = import::end_lines(tally, lines, whole, all);
    match (parsed.is_unmarked, has_banner, is_finished) {
        (true, true, true) => Parsed { is_unmarked: false, ..parsed },
        (true, true, false) => Parsed {
            gap: Some(Gap::OutputIncomplete),
            reason: "gobuster did not say that it finished".to_owned(),
            ..parsed
        },
        _ => parsed,
    }
}

enum Kind<'l> {
    Url(&'l str),
    Path(&'l str, Option<u16>),
    Name(&'l str),
    Fault,
    Other,
    Foreign,
}

fn kind(line: &str) -> Kind<'_> {
    if let Some(name) = line.strip_prefix("Found: ") {
        return name.split_whitespace().next().map_or(Kind::Foreign, Kind::Name);
    }
    if let Some((path, rest)) = line.split_once("(Status: ") {
        let status = rest.split(')').next().and_then(|status| status.trim().parse().ok());
        return status.map_or(Kind::Foreign, |status| Kind::Path(path.trim(), Some(status)));
    }
    if let Some(setting) = line.strip_prefix("[+] ") {
        // Version 2 asks for an address or a domain at one place, and a domain of its `dns` mode is no site.
        let url = setting.split_once(':').filter(|(name, _)| matches!(name.trim(), "Url" | "Url/Domain"));
        let url = url.map(|(_, url)| url.trim()).filter(|url| setting.starts_with("Url:") || url.contains("://"));
        return url.map_or(Kind::Other, Kind::Url);
    }
    let begins = |starts: &[&str]| starts.iter().any(|start| line.starts_with(start));
    match line {
        _ if begins(&["[ERROR]", "Error:", "[!]"]) => Kind::Fault,
        _ if begins(&["=", "Gobuster v", "by OJ", "Progress:", "Starting gobuster", "Finished", "Missed:", "20", "[INFO]"]) => Kind::Other,
        _ => bare_name(line).map_or(Kind::Foreign, Kind::Name),
    }
}

/// What version 3.8 prints of a name: `mail.example.com 192.0.2.5,2001:db8::1`, `mail.example.com Status: 200 [Size: 157]`.
fn bare_name(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once(' ')?;
    let is_name = name.contains('.') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte));
    let rest = rest.trim();
    let is_address = |text: &str| text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    (is_name && (rest.starts_with("Status: ") || rest.split(',').all(is_address))).then_some(name)
}

fn found(path: &str, status: Option<u16>, line: &str, base: Option<&Page>, context: &Context<'_>, tally: &mut Tally<'_>) {
    // With `-e` the whole address stands there.
    if let Some(page) = Page::of(path, context) {
        return tally.tell(paths::found(&page.path, status, line).observed(&page.place()));
    }
    let path = format!("/{}", path.trim_start_matches('/'));
    let host = context.host.and_then(|host| context.host(host));
    let observation = match (base, host, context.port) {
        (Some(page), ..) => {
            let path = format!("{}{path}", page.path.trim_end_matches('/'));
            paths::found(&path, status, line).observed(&page.place())
        }
        (None, Some(host), Some(port)) => paths::found(&path, status, line).observed(&Place::tcp(&host, port, port == 443)),
        // Without a port there is no address: the path tells the findings apart.
        (None, host, _) => {
            let host = host.unwrap_or_else(|| import::UNNAMED.to_owned());
            paths::found(&path, status, line).about(&path).observed(&Place::of(&host))
        }
    };
    tally.tell(observation);
}

/// A name of the `dns` or `vhost` mode.
fn named(name: &str, line: &str, context: &Context<'_>, tally: &mut Tally<'_>) {
    let page = Page::of_loose(name, context);
    let Some(host) = page.map(|page| page.host) else { return tally.garbled() };
    let title = format!("The name {host} exists");
    let description = "A guessed name of the domain exists or is served.";
    let weakness = Weakness::of_tool("gobuster:name", Severity::Info, &title, description, line);
    tally.tell(weakness.observed(&Place::of(&host)));
}

#[cfg(test)]
mod tests {
    use crate::testing;

    #[test]
    fn version_2_names_its_site_in_other_words() {
        let report = include_bytes!("../../testdata/gobuster/version2.txt");
        let (parsed, seen) = testing::read(super::FORMATS[0], report);
        assert!(parsed.of_a_file().is_complete());
        let places: Vec<String> = seen.iter().map(|one| one.location.to_string()).collect();
        assert_eq!(places, ["http://192.0.2.7:8080/shop/admin", "http://192.0.2.7:8080/shop/index.html"]);
    }

    #[test]
    fn version_3_8_prints_names_bare() {
        let frame = |mode: &str, lines: &str| format!("{0}\nGobuster v3.8\n{0}\nStarting gobuster in {mode} enumeration mode\n{0}\n{lines}{0}\nFinished\n{0}\n", "=".repeat(63));
        for (mode, lines) in [
            ("DNS", "mail.example.com 192.0.2.5\nwww.example.com 192.0.2.6,2001:db8::1\n"),
            ("VHOST", "mail.example.com Status: 200 [Size: 157]\nwww.example.com Status: 301 [Size: 0] [--> http://x/]\n"),
            ("VHOST", "Found: mail.example.com (Status: 200) [Size: 157]\nFound: www.example.com Status: 200 [Size: 1]\n"),
        ] {
            let (parsed, seen) = testing::read(super::FORMATS[0], frame(mode, lines).as_bytes());
            assert!(parsed.of_a_file().is_complete(), "{mode}");
            let places: Vec<String> = seen.iter().map(|one| format!("{} {}", one.rule, one.location)).collect();
            assert_eq!(places, ["gobuster:name mail.example.com", "gobuster:name www.example.com"], "{lines}");
        }
        let (parsed, _) = testing::read(super::FORMATS[0], frame("DNS", "what is this\n").as_bytes());
        assert!(!parsed.is_complete());
    }
}
