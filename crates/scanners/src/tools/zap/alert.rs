//! One alert of ZAP with the pages it was seen on, and the observations that it becomes.

use std::collections::{BTreeMap, BTreeSet};

use picket_domain::Confidence;

use super::meaning::{self, Sort};
use crate::{
    Context, headers,
    page::Page,
    tally::Tally,
    text,
    weakness::Weakness,
};

/// Pages kept of one alert; more are counted.
pub(super) const MAX_INSTANCES: usize = 2000;
/// A text of an alert, and a piece of a page, in both formats.
pub(super) const MAX_TEXT_BYTES: usize = 16 << 10;
pub(super) const MAX_PIECE_BYTES: usize = 1000;
const MAX_REFERENCES: usize = 16;
/// Addresses on each page of an alert: there are many pages, and our rules say what to do.
const MAX_PAGE_REFERENCES: usize = 3;
/// The longest element that ZAP prints, with room.
const MAX_MARKUP_BYTES: usize = 12;
const MAX_EVIDENCE_BYTES: usize = 4000;
const MAX_LISTED: usize = 20;

/// One page.
#[derive(Debug, Clone, Default)]
pub(super) struct Instance {
    pub(super) uri: String,
    pub(super) method: String,
    pub(super) param: String,
    pub(super) attack: String,
    pub(super) evidence: String,
}

/// One alert.
#[derive(Debug, Clone, Default)]
pub(super) struct Alert {
    pub(super) plugin: String,
    /// The plugin and which of its alerts it is, such as `10055-4`; newer versions have it.
    pub(super) reference: String,
    pub(super) name: String,
    /// 0 to 3.
    pub(super) risk: String,
    /// 0 is a false positive, 1 low, 2 medium, 3 high, 4 confirmed by a person.
    pub(super) confidence: String,
    pub(super) description: String,
    pub(super) other: String,
    pub(super) solution: String,
    pub(super) references: String,
    pub(super) cwe: String,
    pub(super) instances: Vec<Instance>,
    /// Pages that were not kept.
    pub(super) left_out: u64,
}

impl Alert {
    /// Keeps one page more.
    pub(super) fn push(&mut self, instance: Instance) {
        if self.instances.len() < MAX_INSTANCES {
            self.instances.push(instance);
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// Tells what the alert is. `site` is where it stands in the report, for alerts that name no page.
    pub(super) fn tell(&self, site: Option<&Page>, context: &Context<'_>, tally: &mut Tally<'_>) {
        let Some(confidence) = self.confidence() else { return };
        let pages: Vec<(Page, &Instance)> =
            self.instances.iter().filter_map(|instance| Some((Page::of(&instance.uri, context)?, instance))).collect();
        let sort = meaning::sort(self);
        if sort.is_of_page() && !pages.is_empty() {
            self.tell_pages(sort, &pages, confidence, tally);
            return;
        }
        let Some(page) = pages.first().map(|(page, _)| page).or(site) else {
            tally.garbled();
            return;
        };
        let references = urls(&self.references, MAX_REFERENCES);
        let observed = |weakness: Weakness| self.furnished(weakness.sure(confidence), &references).observed(&page.place());
        match sort {
            Sort::Cookie(rule) => {
                let cookies = self.cookies();
                let evidence: Vec<String> =
                    cookies.iter().map(|(name, instance)| without_value(instance, name)).collect();
                let names = cookies.into_keys().collect::<Vec<_>>().join(", ");
                tally.tell(observed(headers::cookie(rule, &names, &evidence.join("\n"))));
            }
            // Of the service behind all names, where tools that speak no HTTP see it too.
            Sort::Service(rule) => {
                let weakness = self.furnished(Weakness::of(rule, &self.listing()).sure(confidence), &references);
                tally.tell(page.place().seen(weakness, context));
            }
            Sort::Site(_) | Sort::Injection(_) | Sort::Served(_) | Sort::Path | Sort::Own => {
                tally.tell(observed(meaning::of_site(sort, self, &self.listing())));
            }
        }
    }

    /// The cookies it is of, each with the first page that sets it. They are one finding, as the alert is one.
    fn cookies(&self) -> BTreeMap<&str, &Instance> {
        let mut cookies = BTreeMap::new();
        for instance in &self.instances {
            cookies.entry(headers::cookie_name(&instance.param)).or_insert(instance);
        }
        cookies
    }

    /// One finding for each page and parameter.
    fn tell_pages(&self, sort: Sort, pages: &[(Page, &Instance)], confidence: Confidence, tally: &mut Tally<'_>) {
        let mut seen = BTreeSet::new();
        let references = urls(&self.references, MAX_PAGE_REFERENCES);
        for (page, instance) in pages {
            if seen.insert((&page.host, page.port, &page.path, &instance.param)) {
                let weakness = meaning::of_page(sort, self, page, instance, &line(instance)).sure(confidence);
                tally.tell(self.furnished(weakness, &references).observed(&page.place()));
            }
        }
        if self.left_out > 0 {
            tally.cut();
        }
    }

    /// `None` for what ZAP, or a person, called a false positive.
    fn confidence(&self) -> Option<Confidence> {
        match self.confidence.trim() {
            "0" => None,
            "1" => Some(Confidence::Low),
            "3" | "4" => Some(Confidence::High),
            _ => Some(Confidence::Medium),
        }
    }

    fn furnished(&self, weakness: Weakness, references: &[&str]) -> Weakness {
        let cwe = self.cwe.trim().parse().ok().filter(|number| *number > 0);
        weakness.of_kind(cwe).referring(references)
    }

    fn listing(&self) -> String {
        let mut listing = String::new();
        for instance in self.instances.iter().take(MAX_LISTED) {
            text::push(&mut listing, &line(instance), MAX_EVIDENCE_BYTES);
            text::push(&mut listing, "\n", MAX_EVIDENCE_BYTES);
        }
        let more = u64::try_from(self.instances.len().saturating_sub(MAX_LISTED)).unwrap_or(u64::MAX).saturating_add(self.left_out);
        if more > 0 {
            text::push(&mut listing, &format!("and {more} more"), MAX_EVIDENCE_BYTES);
        }
        listing
    }
}

/// Where a cookie was set. Older versions print its value.
fn without_value(instance: &Instance, name: &str) -> String {
    let Instance { uri, method, .. } = instance.clone();
    line(&Instance { uri, method, param: name.to_owned(), ..Instance::default() })
}

fn line(instance: &Instance) -> String {
    let Instance { uri, method, param, attack, evidence } = instance;
    let pieces = [("", method.as_str()), ("", uri.as_str()), ("parameter ", param.as_str()), ("attack ", attack.as_str()), ("saw ", evidence.as_str())];
    let mut line = String::new();
    for (label, piece) in pieces.into_iter().filter(|(_, piece)| !piece.is_empty()) {
        let separator = if line.is_empty() { "" } else { " " };
        text::push(&mut line, &format!("{separator}{label}{}", text::line(piece, 500)), 2000);
    }
    line
}

/// Addresses in a text that may run them together and hold markup.
fn urls(text: &str, most: usize) -> Vec<&str> {
    let text = text::prefix(text, MAX_TEXT_BYTES);
    let starts: Vec<usize> = text.match_indices("http").map(|(at, _)| at).take(most.saturating_add(1)).collect();
    let ends = starts.iter().copied().skip(1).chain([text.len()]);
    let pieces = starts.iter().copied().zip(ends).filter_map(|(start, end)| text.get(start..end));
    let pieces = pieces.take(most);
    pieces.filter_map(|piece| piece.split(|c: char| c.is_whitespace() || matches!(c, '<' | '"' | '\'')).next()).collect()
}

/// Text of a report without its markup.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, tag)) = rest.split_once('<') {
        plain.push_str(before);
        // Never looks for the end of an element farther than one goes.
        let Some((name, _)) = text::prefix(tag, MAX_MARKUP_BYTES).split_once('>').filter(|(name, _)| is_markup(name)) else {
            plain.push('<');
            rest = tag;
            continue;
        };
        if name == "/p" || name.starts_with("br") {
            plain.push('\n');
        }
        rest = tag.get(name.len().saturating_add(1)..).unwrap_or_default();
    }
    plain.push_str(rest);
    plain
}

/// The few elements that ZAP prints; everything else is what it saw.
fn is_markup(name: &str) -> bool {
    matches!(name.trim_end_matches([' ', '/']).trim_start_matches('/'), "p" | "br" | "ul" | "li" | "b" | "i")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_run_together_are_parted() {
        assert_eq!(urls("<p>https://a.example/xhttp://b.example/y</p><p>http://c.example</p>", 3), ["https://a.example/x", "http://b.example/y", "http://c.example"]);
        assert!(urls("none", 3).is_empty());
    }

    #[test]
    fn markup_of_the_report_is_no_text_but_what_was_seen_is() {
        assert_eq!(plain("<p>one</p><p>two <script> < 3</p>"), "one\ntwo <script> < 3\n");
        let far = format!("{}>", "<".repeat(4 << 20));
        assert_eq!(plain(&far), far, "and this took no time of the length's square");
    }
}
