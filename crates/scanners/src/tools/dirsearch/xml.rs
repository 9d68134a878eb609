//! dirsearch's XML: a result for each address; before 0.4.2 a target with paths below it.

use std::io::BufRead;

use super::{Entry, tell};
use crate::{
    Context, Head, Parsed, import,
    tally::Tally,
    text,
    xml::{self, Attributes, Handler, Root, tags},
};

const MAX_TEXT_BYTES: usize = 2000;

tags! {
    Scan = "dirsearchscan",
    OldScan = "dirsearchScan",
    Target = "target",
    Info = "info",
    Result = "result",
    Status = "status",
    Length = "contentLength",
    Redirect = "redirect",
}

const ROOT: Root<Tag> = Root { tags: &[Tag::Scan, Tag::OldScan], doctypes: &[] };

pub(super) fn recognizes(head: &Head<'_>) -> bool {
    head.is_xml("dirsearchscan") || head.is_xml("dirsearchScan")
}

pub(super) fn read(input: &mut dyn BufRead, context: &Context<'_>, tally: Tally<'_>) -> Parsed {
    let mut reader = Reader { context, tally, base: String::new(), entry: Entry::default(), text: String::new() };
    let fault = xml::read(input, ROOT, &mut reader).err();
    match fault {
        Some(fault) if fault.is_refusal() => reader.tally.refuse(fault.to_string()),
        Some(fault) => import::incomplete(reader.tally, &fault.to_string()),
        None => reader.tally.end(None),
    }
}

struct Reader<'s, 'c> {
    context: &'c Context<'c>,
    tally: Tally<'s>,
    base: String,
    entry: Entry,
    text: String,
}

impl Reader<'_, '_> {
    fn begin(&mut self, attributes: &Attributes<'_>) {
        let mut entry = Entry::default();
        attributes.each(|name, value| match name {
            "url" => entry.url = text::prefix(value, MAX_TEXT_BYTES).to_owned(),
            "path" => {
                let path = text::prefix(value, MAX_TEXT_BYTES);
                entry.url = format!("{}/{}", self.base.trim_end_matches('/'), path.trim_start_matches('/'));
            }
            _ => {}
        });
        self.entry = entry;
    }
}

impl Handler<Tag> for Reader<'_, '_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "most elements mean nothing here")]
    fn open(&mut self, tag: Tag, _: Tag, attributes: &Attributes<'_>) {
        self.text.clear();
        match tag {
            Tag::Target => attributes.each(|name, value| {
                if name == "url" {
                    self.base = text::prefix(value, MAX_TEXT_BYTES).to_owned();
                }
            }),
            Tag::Result | Tag::Info => self.begin(attributes),
            _ => {}
        }
    }

    fn text(&mut self, _: Tag, piece: &str) {
        text::push(&mut self.text, piece, MAX_TEXT_BYTES);
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most elements mean nothing here")]
    fn close(&mut self, tag: Tag, _: Tag) {
        let value = std::mem::take(&mut self.text).trim().to_owned();
        match tag {
            Tag::Status => self.entry.status = value,
            Tag::Length => self.entry.size = value,
            Tag::Redirect => self.entry.redirect = value,
            Tag::Result | Tag::Info => tell(&std::mem::take(&mut self.entry), self.context, &mut self.tally),
            _ => {}
        }
    }
}
