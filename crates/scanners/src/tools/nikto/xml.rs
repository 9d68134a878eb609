//! Nikto's XML. Each version nests its elements a little differently, and 2.1.5 says that it ended in 1970; the element
//! with statistics behind the items is what tells that a host was examined to the end.

use std::{io::BufRead, net::IpAddr};

use picket_domain::{Gap, Observation};

use super::{item::Item, report::{Trouble, is_tls_port}};
use crate::{
    Context, Parsed,
    page::Page,
    tally::Tally,
    text,
    xml::{self, Attributes, Handler, Root, tags},
};

const MAX_TEXT_BYTES: usize = 8 << 10;

tags! {
    Scan = "niktoscan",
    Scans = "niktoscans",
    Details = "scandetails",
    Item = "item",
    Description = "description",
    Uri = "uri",
    References = "references",
    Statistics = "statistics",
}

/// Nikto names the folder of its definition, which is never read.
const ROOT: Root<Tag> = Root { tags: &[Tag::Scan, Tag::Scans], doctypes: &["niktoscan", "niktoscans"] };

pub(super) fn parse(input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
    let mut reader = Reader {
        context,
        tally: Tally::new(sink),
        trouble: Trouble::default(),
        page: None,
        item: Item::default(),
        text: String::new(),
        hosts: 0,
        finished: 0,
    };
    let fault = xml::read(input, ROOT, &mut reader).err();
    let Reader { tally, trouble, hosts, finished, .. } = reader;
    match fault {
        Some(fault) if fault.is_refusal() => tally.refuse(fault.to_string()),
        Some(fault) => tally.end(Some((Gap::OutputIncomplete, fault.to_string()))),
        None if finished < hosts => tally.end(Some((Gap::OutputIncomplete, "nikto did not say that it finished".to_owned()))),
        None => trouble.end(tally),
    }
}

struct Reader<'s, 'c> {
    context: &'c Context<'c>,
    tally: Tally<'s>,
    trouble: Trouble,
    /// The site whose items are read.
    page: Option<Page>,
    item: Item,
    text: String,
    hosts: u64,
    finished: u64,
}

impl Reader<'_, '_> {
    fn begin_host(&mut self, attributes: &Attributes<'_>) {
        let (mut site, mut name, mut address, mut port) = (String::new(), String::new(), String::new(), None);
        let mut asked = String::new();
        attributes.each(|key, value| match key {
            "sitename" => site = text::line(value, 500),
            "targethostname" => name = text::line(value, 300),
            "hostheader" => asked = text::line(value, 300),
            "targetip" => address = text::line(value, 100),
            "targetport" => port = value.parse::<u16>().ok(),
            _ => {}
        });
        let named = Page::of(&site, self.context);
        let host = self.context.site(&name).or_else(|| self.context.site(&address));
        let told = host.zip(port).map(|(host, port)| Page { host, port, is_tls: is_tls_port(port), path: "/".to_owned() });
        // The site that was asked for by its name (`-vhost`) is told nowhere else.
        let asked = self.context.site(&asked).filter(|name| name.parse::<IpAddr>().is_err());
        self.page = named.or(told).map(|page| Page { host: asked.unwrap_or_else(|| page.host.clone()), ..page });
        self.hosts = self.hosts.saturating_add(1);
        if self.page.is_some() {
            self.tally.host_up();
        }
    }

    fn begin_item(&mut self, attributes: &Attributes<'_>) {
        let mut item = Item::default();
        attributes.each(|key, value| match key {
            "id" => item.id = text::line(value, 20),
            "osvdbid" => item.osvdb = text::line(value, 20),
            "method" => item.method = text::line(value, 40),
            _ => {}
        });
        self.item = item;
    }

    fn end_item(&mut self) {
        let item = std::mem::take(&mut self.item);
        let place = self.page.as_ref().map(Page::place);
        self.trouble.read(&item, place.as_ref(), self.context, &mut self.tally);
    }
}

impl Handler<Tag> for Reader<'_, '_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "most elements mean nothing here")]
    fn open(&mut self, tag: Tag, _: Tag, attributes: &Attributes<'_>) {
        self.text.clear();
        match tag {
            Tag::Details => self.begin_host(attributes),
            Tag::Item => self.begin_item(attributes),
            Tag::Statistics => self.finished = self.finished.saturating_add(1),
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
            Tag::Description => self.item.message = value,
            Tag::Uri => self.item.url = value,
            Tag::References => self.item.references = value,
            Tag::Item => self.end_item(),
            Tag::Details => self.page = None,
            _ => {}
        }
    }
}
