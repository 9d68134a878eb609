//! What every report format offers, and how a file is recognized by its content. Files are hostile: nothing in them is
//! trusted, and a file that is not what it seems is refused with a reason.

use std::{io::BufRead, net::IpAddr};

use picket_domain::{Gap, Observation, PinnedHost};

use crate::{Parsed, tally::Tally, text};

/// How much of a file's beginning is looked at to recognize it.
pub const HEAD_BYTES: usize = 64 << 10;

/// One way in which a tool writes its report.
pub trait Format: Send + Sync {
    /// The slug of the tool, e.g. `zap`.
    fn tool(&self) -> &'static str;

    /// The name of the format among those of its tool: `json`, `jsonl`, `xml`, `csv`, `text`, `sarif`.
    fn name(&self) -> &'static str;

    /// What the tool writes, but for white space, when it found nothing and that does not show whose report it is: an empty
    /// file, an empty list. Such a file is believed to be of this tool only when somebody says so, and is never complete.
    fn blanks(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether a file that begins so is of this format. Only one format may say yes to a file of any tool.
    fn recognizes(&self, head: &Head<'_>) -> bool;

    /// Reads a report while it comes and hands each observation to `sink`. Never panics, and its memory does not grow
    /// with the report.
    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed;
}

/// The beginning of a file.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Its bytes as text, as far as they are UTF-8, without byte order mark and space before the first character.
    pub text: &'a str,
    /// Whether this is the whole file.
    pub is_whole: bool,
}

impl<'a> Head<'a> {
    /// The head of a file that begins with `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8], is_whole: bool) -> Self {
        let bytes = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
        let valid = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                bytes.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok()).unwrap_or_default()
            }
        };
        Self { text: valid.trim_start_matches('\u{feff}').trim_start(), is_whole }
    }

    /// Whether it is XML whose first element is `name`.
    #[must_use]
    pub fn is_xml(&self, name: &str) -> bool {
        self.root().is_some_and(|root| root == name)
    }

    /// The name of the first element.
    fn root(&self) -> Option<&'a str> {
        let mut rest = self.text;
        loop {
            rest = rest.trim_start();
            if let Some(comment) = rest.strip_prefix("<!--") {
                rest = comment.split_once("-->")?.1;
            } else if rest.starts_with("<?") || rest.starts_with("<!") {
                rest = rest.split_once('>')?.1;
            } else {
                let name = rest.strip_prefix('<')?;
                let end = name.find(|c: char| c.is_whitespace() || c == '>' || c == '/').unwrap_or(name.len());
                return name.get(..end);
            }
        }
    }

    /// Whether it is a JSON object (`{`) or array (`[`) that holds all these keys, each as `"key"` before a colon.
    #[must_use]
    pub fn is_json(&self, begins: char, keys: &[&str]) -> bool {
        self.text.starts_with(begins) && keys.iter().all(|key| self.has_key(key))
    }

    /// Whether `"key":` occurs, with or without space before the colon.
    #[must_use]
    pub fn has_key(&self, key: &str) -> bool {
        let quoted = format!("\"{key}\"");
        self.text.match_indices(&quoted).any(|(at, _)| {
            let behind = self.text.get(at.saturating_add(quoted.len())..).unwrap_or_default();
            behind.trim_start().starts_with(':')
        })
    }

    /// The first line that is not empty.
    #[must_use]
    pub fn first_line(&self) -> &'a str {
        self.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default()
    }
}

/// What is known of a run beside its output; nothing is known of an imported file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// The names that the run could resolve.
    pub hosts: &'a [PinnedHost],
    /// The only host that the run looked at, for tools whose output does not name it.
    pub host: Option<&'a str>,
    /// The only port that the run looked at, for tools whose output does not name it.
    pub port: Option<u16>,
}

impl Context<'_> {
    /// The canonical form of a host that a tool names, under which findings of all tools meet: an address, also for a name
    /// that is pinned to one; else the name in lower case. `None` for what is neither.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<String> {
        let name = name.trim().trim_matches(['[', ']']).trim_end_matches('.');
        if let Ok(address) = name.parse::<IpAddr>() {
            return Some(address.to_canonical().to_string());
        }
        let name = self.name(name)?;
        let mut pins = self.hosts.iter().filter(|pin| pin.name.eq_ignore_ascii_case(&name)).map(|pin| pin.address);
        match (pins.next(), pins.next()) {
            (Some(address), None) => Some(address.to_canonical().to_string()),
            _ => Some(name),
        }
    }

    /// The canonical form of a host in a URL: as [`Self::host`], but a name stays a name, since one address has many sites.
    #[must_use]
    pub fn site(&self, name: &str) -> Option<String> {
        let bare = name.trim().trim_matches(['[', ']']).trim_end_matches('.');
        bare.parse::<IpAddr>().map(|address| address.to_canonical().to_string()).ok().or_else(|| self.name(bare))
    }

    fn name(&self, name: &str) -> Option<String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let fits = !name.is_empty() && name.len() <= 253 && name.bytes().all(is_plain);
        fits.then(|| text::line(&name.to_ascii_lowercase(), 253))
    }
}

/// The format of a file that begins with `head`, among all that are known.
#[must_use]
pub fn recognize(head: &Head<'_>) -> Option<&'static dyn Format> {
    formats().find(|format| format.recognizes(head))
}

/// The format in which `tool` wrote that it found nothing, when `file` (all of it) may be such a report.
#[must_use]
pub fn blank(tool: &str, file: &[u8]) -> Option<&'static dyn Format> {
    let text = std::str::from_utf8(file).ok()?.trim_start_matches('\u{feff}');
    let text: String = text.chars().filter(|c| !c.is_whitespace()).take(8).collect();
    formats().find(|format| format.tool() == tool && format.blanks().contains(&text.as_str()))
}

/// What became of a report that says nothing at all: nothing was found, and nothing says that the tool finished.
#[must_use]
pub fn parsed_blank() -> Parsed {
    Tally::new(&mut |_| {}).end(Some((Gap::OutputIncomplete, "the report is empty".to_owned())))
}

/// What a file is that no format claims, as far as it can be told.
#[must_use]
pub fn strange(head: &Head<'_>) -> &'static str {
    let is_bill = head.has_key("bomFormat") || head.has_key("spdxVersion") || head.is_xml("bom");
    match head.text {
        "" if head.is_whole => "the file is empty, or is no text",
        "" => "the file is no text",
        _ if is_bill => "the file is a bill of materials, not a report of findings",
        text if text.starts_with(['{', '[']) => "the file is JSON, but not a report of a known tool",
        text if text.starts_with('<') => "the file is XML or HTML, but not a report of a known tool",
        _ => "the file is not a report of a known tool",
    }
}

/// Every format of every tool.
pub fn formats() -> impl Iterator<Item = &'static dyn Format> {
    crate::tools::FORMATS.iter().flat_map(|formats| formats.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_element_is_found_behind_whatever_stands_before_it() {
        let head = |text: &'static str| Head::new(text.as_bytes(), true);
        assert!(
            head("\u{feff}\n<?xml version='1.0'?>\n<!DOCTYPE nmaprun>\n<!-- a > b -->\n<nmaprun scanner=\"nmap\">")
                .is_xml("nmaprun")
        );
        assert!(head("<report/>").is_xml("report"));
        assert!(!head("<reports>").is_xml("report"));
        assert!(!head("nmaprun").is_xml("nmaprun"));
    }

    #[test]
    fn a_blank_file_is_of_the_tool_that_is_named_and_never_complete() {
        for (tool, file) in
            [("nuclei", ""), ("nuclei", " \n"), ("whatweb", "[\n]\n"), ("wpscan", "{ }"), ("httpx", "\u{feff}")]
        {
            assert_eq!(blank(tool, file.as_bytes()).map(Format::tool), Some(tool), "{file:?}");
        }
        for (tool, file) in [
            ("nmap", &b""[..]),
            ("sslscan", b"[]"),
            ("nuclei", b"{}"),
            ("nuclei", b"\0"),
            ("nuclei", b"\xff"),
            ("", b""),
        ] {
            assert!(blank(tool, file).is_none(), "{tool} {file:?}");
        }
        for file in ["", "[]", "{}", "null"] {
            let mut formats = formats();
            assert!(!formats.any(|format| format.recognizes(&Head::new(file.as_bytes(), true))), "{file:?}");
        }
        assert!(!parsed_blank().is_complete());
    }

    #[test]
    fn a_key_is_one_before_a_colon() {
        let head = Head::new(br#"{"site" : [], "x": "alerts"}"#, true);
        assert!(head.is_json('{', &["site"]) && !head.has_key("alerts") && !head.is_json('[', &["site"]));
    }

    #[test]
    fn hosts_of_all_tools_meet_under_one_name() {
        let hosts = [PinnedHost { name: "app.example.com".into(), address: [192, 0, 2, 7].into() }];
        let context = Context { hosts: &hosts, ..Context::default() };
        for name in ["192.0.2.7", "::ffff:192.0.2.7", "[::ffff:192.0.2.7]", "APP.example.com", "app.example.com."] {
            assert_eq!(context.host(name).as_deref(), Some("192.0.2.7"), "{name}");
        }
        assert_eq!(context.site("APP.example.com").as_deref(), Some("app.example.com"));
        assert_eq!(Context::default().host("Other.Example").as_deref(), Some("other.example"));
        for name in ["", "a b", "<script>", "a/b", "\u{1b}[0m"] {
            assert_eq!(context.host(name), None, "{name:?}");
        }
    }
}
