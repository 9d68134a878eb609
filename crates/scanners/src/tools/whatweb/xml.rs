//! WhatWeb's XML (`--log-xml`): a target for each page, closed when the run ends.

use std::io::BufRead;

use super::report::{Found, tell};
use crate::{
    Context, Head, Parsed, import,
    tally::Tally,
    text,
    xml::{self, Attributes, Handler, Root, tags},
};

const MAX_TEXT_BYTES: usize = 500;
const MAX_PLUGINS: usize = 500;
const MAX_DETAILS: usize = 10;

tags! {
    Log = "log",
    Target = "target",
    Uri = "uri",
    Plugin = "plugin",
    Name = "name",
    Version = "version",
    Text = "string",
    System = "os",
    Module = "module",
    Model = "model",
    Firmware = "firmware",
}

const ROOT: Root<Tag> = Root { tags: &[Tag::Log], doctypes: &[] };

pub(super) fn recognizes(head: &Head<'_>) -> bool {
    head.is_xml("log") && ["<target>", "<uri>", "<http-status>"].iter().all(|tag| head.text.contains(tag))
}

pub(super) fn read(input: &mut dyn BufRead, context: &Context<'_>, tally: Tally<'_>) -> Parsed {
    let mut reader =
        Reader { context, tally, address: String::new(), plugins: Vec::new(), found: Found::default(), text: String::new() };
    let fault = xml::read(input, ROOT, &mut reader).err();
    match fault {
        Some(fault) if fault.is_refusal() => reader.tally.refuse(fault.to_string()),
        Some(fault) => import::incomplete(reader.tally, &fault.to_string()),
        None if reader.tally.hosts() == 0 => import::incomplete(reader.tally, "no page was answered"),
        None => reader.tally.end(None),
    }
}

struct Reader<'s, 'c> {
    context: &'c Context<'c>,
    tally: Tally<'s>,
    address: String,
    plugins: Vec<Found>,
    found: Found,
    text: String,
}

impl Handler<Tag> for Reader<'_, '_> {
    fn open(&mut self, tag: Tag, _: Tag, _: &Attributes<'_>) {
        self.text.clear();
        if tag == Tag::Target {
            self.address.clear();
            self.plugins.clear();
        }
    }

    fn text(&mut self, _: Tag, piece: &str) {
        text::push(&mut self.text, piece, MAX_TEXT_BYTES);
    }

    fn close(&mut self, tag: Tag, parent: Tag) {
        let value = std::mem::take(&mut self.text).trim().to_owned();
        match (tag, parent) {
            (Tag::Uri, Tag::Target) => self.address = value,
            (Tag::Name, Tag::Plugin) => self.found.name = value,
            (Tag::Version | Tag::Text | Tag::System | Tag::Module | Tag::Model | Tag::Firmware, Tag::Plugin) => {
                if tag == Tag::Version && self.found.version.is_none() {
                    self.found.version = Some(value.clone());
                }
                if self.found.details.len() < MAX_DETAILS {
                    self.found.details.push(value);
                }
            }
            (Tag::Plugin, Tag::Target) if self.plugins.len() < MAX_PLUGINS => self.plugins.push(std::mem::take(&mut self.found)),
            (Tag::Plugin, parent) => {
                self.found = Found::default();
                if parent == Tag::Target {
                    self.tally.cut();
                }
            }
            (Tag::Target, _) => tell(&self.address, std::mem::take(&mut self.plugins), self.context, &mut self.tally),
            _ => {}
        }
    }
}
