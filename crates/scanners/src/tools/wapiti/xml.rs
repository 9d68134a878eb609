//! Wapiti's XML: categories with their entries, behind what is known of the run.

use std::io::BufRead;

use picket_domain::{Gap, Observation};

use super::{
    category::{self, About, Entry, Part},
    report::{MAX_REFERENCES, MAX_TEXT_BYTES, crawled},
};
use crate::{
    Context, Parsed,
    page::Page,
    tally::Tally,
    text,
    xml::{self, Attributes, Handler, Root, tags},
};

tags! {
    Report = "report",
    Infos = "report_infos",
    Info = "info",
    Vulnerability = "vulnerability",
    Anomaly = "anomaly",
    Additional = "additional",
    Description = "description",
    Solution = "solution",
    Url = "url",
    Entry = "entry",
    Method = "method",
    Path = "path",
    Level = "level",
    Parameter = "parameter",
    Request = "http_request",
}

const ROOT: Root<Tag> = Root { tags: &[Tag::Report], doctypes: &[] };

pub(super) fn parse(input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
    let mut reader = Reader {
        context,
        tally: Tally::new(sink),
        start: None,
        pages: None,
        part: Part::Vulnerabilities,
        category: String::new(),
        about: About::default(),
        entry: None,
        info: String::new(),
        text: String::new(),
    };
    let fault = xml::read(input, ROOT, &mut reader).err();
    let Reader { tally, start, pages, .. } = reader;
    match (fault, start) {
        (Some(fault), _) if fault.is_refusal() => tally.refuse(fault.to_string()),
        (Some(fault), _) => tally.end(Some((Gap::OutputIncomplete, fault.to_string()))),
        (None, None) => tally.end(Some((Gap::OutputIncomplete, "the report does not name its site".to_owned()))),
        (None, Some(_)) => tally.end(crawled(pages)),
    }
}

struct Reader<'s, 'c> {
    context: &'c Context<'c>,
    tally: Tally<'s>,
    start: Option<Page>,
    pages: Option<f64>,
    part: Part,
    category: String,
    about: About,
    entry: Option<Entry>,
    /// The name of the piece about the run.
    info: String,
    text: String,
}

impl Reader<'_, '_> {
    fn begin_category(&mut self, part: Part, attributes: &Attributes<'_>) {
        self.part = part;
        self.about = About::default();
        self.category.clear();
        attributes.each(|name, value| {
            if name == "name" {
                self.category = text::line(value, 100);
            }
        });
    }

    fn end_info(&mut self, value: &str) {
        match self.info.as_str() {
            "target" => {
                self.start = Page::of(value, self.context);
                if self.start.is_some() {
                    self.tally.host_up();
                }
            }
            "crawledPages" => self.pages = value.parse().ok(),
            _ => {}
        }
    }

    fn end_entry(&mut self) {
        let (Some(entry), Some(start)) = (self.entry.take(), &self.start) else {
            self.tally.garbled();
            return;
        };
        let weakness = category::weakness(self.part, &self.category, &entry, &self.about);
        self.tally.tell(weakness.observed(&start.place()));
    }
}

impl Handler<Tag> for Reader<'_, '_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "most elements mean nothing here")]
    fn open(&mut self, tag: Tag, _: Tag, attributes: &Attributes<'_>) {
        self.text.clear();
        match tag {
            Tag::Vulnerability => self.begin_category(Part::Vulnerabilities, attributes),
            Tag::Anomaly => self.begin_category(Part::Anomalies, attributes),
            Tag::Additional => self.begin_category(Part::Additionals, attributes),
            Tag::Entry => self.entry = Some(Entry::default()),
            Tag::Info => {
                self.info.clear();
                attributes.each(|name, value| {
                    if name == "name" {
                        self.info = text::line(value, 100);
                    }
                });
            }
            _ => {}
        }
    }

    fn text(&mut self, _: Tag, piece: &str) {
        text::push(&mut self.text, piece, MAX_TEXT_BYTES);
    }

    fn close(&mut self, tag: Tag, parent: Tag) {
        let value = std::mem::take(&mut self.text).trim().to_owned();
        match (tag, parent, &mut self.entry) {
            (Tag::Info, Tag::Infos, _) => self.end_info(&value),
            (Tag::Entry, ..) => self.end_entry(),
            (Tag::Method, Tag::Entry, Some(entry)) => entry.method = value,
            (Tag::Path, Tag::Entry, Some(entry)) => entry.path = value,
            (Tag::Level, Tag::Entry, Some(entry)) => entry.level = value.parse().unwrap_or_default(),
            (Tag::Parameter, Tag::Entry, Some(entry)) => entry.parameter = value,
            (Tag::Info, Tag::Entry, Some(entry)) => entry.info = value,
            (Tag::Request, Tag::Entry, Some(entry)) => entry.request = value,
            (Tag::Description, ..) => self.about.description = value,
            (Tag::Solution, ..) => self.about.solution = value,
            (Tag::Url, ..) if self.about.references.len() < MAX_REFERENCES => self.about.references.push(value),
            _ => {}
        }
    }
}
