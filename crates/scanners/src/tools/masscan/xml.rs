//! masscan's XML, in the shape of nmap's.

use std::io::BufRead;

use picket_domain::Protocol;

use super::Port;
use crate::{
    Context, Parsed, import,
    tally::Tally,
    text,
    xml::{self, Attributes, Handler, Root, tags},
};

tags! {
    Run = "nmaprun",
    Host = "host",
    Address = "address",
    Ports = "ports",
    Port = "port",
    State = "state",
    Service = "service",
    Finished = "finished",
}

const ROOT: Root<Tag> = Root { tags: &[Tag::Run], doctypes: &["nmaprun"] };

pub(super) fn read(input: &mut dyn BufRead, context: &Context<'_>, tally: Tally<'_>) -> Parsed {
    let mut report =
        Report { tally, context, address: String::new(), port: Port::default(), is_open: false, is_finished: false };
    let fault = xml::read(input, ROOT, &mut report).err();
    let Report { tally, is_finished, .. } = report;
    match fault {
        Some(fault) if fault.is_refusal() => tally.refuse(fault.to_string()),
        Some(fault) => import::incomplete(tally, &fault.to_string()),
        None if !is_finished => import::incomplete(tally, "masscan did not say that it finished"),
        None => tally.end(None),
    }
}

struct Report<'r, 's> {
    tally: Tally<'s>,
    context: &'r Context<'r>,
    address: String,
    port: Port,
    is_open: bool,
    is_finished: bool,
}

impl Handler<Tag> for Report<'_, '_> {
    fn open(&mut self, tag: Tag, _: Tag, attributes: &Attributes<'_>) {
        match tag {
            Tag::Host => self.address.clear(),
            Tag::Port => (self.port, self.is_open) = (Port::default(), false),
            Tag::Finished => self.is_finished = true,
            Tag::Run | Tag::Address | Tag::Ports | Tag::State | Tag::Service | Tag::Other => {}
        }
        attributes.each(|name, value| match (tag, name) {
            (Tag::Address, "addr") if self.address.is_empty() => self.address = text::line(value, 100),
            (Tag::Port, "portid") => self.port.number = value.parse().ok().filter(|port| *port != 0),
            (Tag::Port, "protocol") => {
                (self.port.protocol, self.port.is_echo) = (Protocol::find(value), value == "icmp");
            }
            (Tag::State, "state") => self.is_open = value == "open",
            (Tag::Service, "name") => self.port.service = text::line(value, 100),
            (Tag::Service, "banner") => self.port.banner = text::lines(value, 4096),
            _ => {}
        });
    }

    fn text(&mut self, _: Tag, _: &str) {}

    fn close(&mut self, tag: Tag, _: Tag) {
        if tag == Tag::Port && self.is_open {
            self.port.tell(&self.address, self.context, &mut self.tally);
        }
    }
}
