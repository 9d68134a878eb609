//! From the pieces of a report to observations: ports, and what scripts said of them, while the report is being read.

mod port;
#[cfg(test)]
mod script_tests;
#[cfg(test)]
mod tests;

use std::{
    io::BufRead,
    net::IpAddr,
};

use jiff::Timestamp;
use picket_domain::{Gap, Observation, Protocol};

use self::port::Port;
use super::{
    document::{ROOT, Tag},
    script::Script,
    scripts,
};
use crate::{
    Parsed, rules,
    tally::MAX_OBSERVATIONS,
    text,
    weakness::{Place, Weakness},
    xml::{self, Attributes, Fault, Handler},
};

/// CPE names of one service, and guesses about one operating system.
const MAX_NAMES: usize = 16;
/// Text kept of one value of a service.
const MAX_VALUE_BYTES: usize = 256;
/// Scripts that could not test, named in the reason.
const MAX_UNCHECKED: usize = 5;

/// Reads a report.
pub(super) fn parse(output: &mut dyn BufRead, sink: &mut dyn FnMut(Observation)) -> Parsed {
    let mut report = Report::new(sink);
    let fault = xml::read(output, ROOT, &mut report).err();
    report.parsed(fault)
}

/// How nmap said that it ended.
enum Finish {
    Missing,
    Success,
    Error(String),
}

/// A host while it is being read.
#[derive(Default)]
struct Host {
    /// Its address in canonical form.
    address: Option<String>,
    systems: Vec<String>,
}

/// The report while it is being read. Nothing in it grows with the report.
struct Report<'s> {
    sink: &'s mut dyn FnMut(Observation),
    started: Option<Timestamp>,
    /// Before format 1.04 (nmap 5.6) the report did not say how the run ended.
    is_old_format: bool,
    finish: Finish,
    observations: u64,
    limit: u64,
    hosts_up: u64,
    timed_out: u64,
    unchecked: Vec<String>,
    is_cut: bool,
    is_garbled: bool,
    host: Host,
    port: Option<Port>,
    script: Option<Script>,
    cpe: String,
}

impl<'s> Report<'s> {
    fn new(sink: &'s mut dyn FnMut(Observation)) -> Self {
        Self {
            sink,
            started: None,
            is_old_format: false,
            finish: Finish::Missing,
            observations: 0,
            limit: MAX_OBSERVATIONS,
            hosts_up: 0,
            timed_out: 0,
            unchecked: Vec::new(),
            is_cut: false,
            is_garbled: false,
            host: Host::default(),
            port: None,
            script: None,
            cpe: String::new(),
        }
    }

    /// What became of it. The worst gap is named; a report without any is complete.
    fn parsed(self, fault: Option<Fault>) -> Parsed {
        let is_refused = fault.as_ref().is_some_and(Fault::is_refusal);
        let gap = match (fault, self.finish) {
            (Some(fault), _) => Some((Gap::OutputIncomplete, fault.to_string())),
            (None, Finish::Missing) => Some((Gap::OutputIncomplete, "nmap did not say that it finished".to_owned())),
            (None, Finish::Error(message)) => Some((Gap::ToolFailed, format!("nmap ended with an error: {message}"))),
            (None, Finish::Success) if self.is_garbled => {
                Some((Gap::OutputIncomplete, "the report holds a host or port that cannot be understood".to_owned()))
            }
            (None, Finish::Success) if self.is_cut => {
                Some((Gap::OutputTruncated, "the report holds more than can be kept".to_owned()))
            }
            (None, Finish::Success) if self.timed_out > 0 => {
                Some((Gap::TimedOut, format!("nmap gave up on {} hosts that took too long", self.timed_out)))
            }
            (None, Finish::Success) if self.hosts_up == 0 => {
                Some((Gap::OutputIncomplete, "no host was examined".to_owned()))
            }
            (None, Finish::Success) if !self.unchecked.is_empty() => {
                Some((Gap::OutputIncomplete, format!("scripts of nmap could not test: {}", self.unchecked.join(", "))))
            }
            (None, Finish::Success) => None,
        };
        let (gap, reason) = gap.map_or((None, String::new()), |(gap, reason)| (Some(gap), reason));
        Parsed { gap, reason, observations: self.observations, hosts_up: self.hosts_up, is_refused, ..Parsed::default() }
    }

    fn tell(&mut self, observation: Observation) {
        if self.observations < self.limit {
            self.observations = self.observations.saturating_add(1);
            (self.sink)(observation);
        } else {
            self.is_cut = true;
        }
    }

    fn begin_run(&mut self, attributes: &Attributes<'_>) {
        attributes.each(|name, value| match name {
            "start" => self.started = value.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok()),
            "xmloutputversion" => self.is_old_format = matches!(value, "1.00" | "1.01" | "1.02" | "1.03"),
            _ => {}
        });
    }

    fn begin_host(&mut self, attributes: &Attributes<'_>) {
        self.host = Host::default();
        attributes.each(|name, value| {
            if name == "timedout" && value == "true" {
                self.timed_out = self.timed_out.saturating_add(1);
            }
        });
    }

    fn read_status(&mut self, attributes: &Attributes<'_>) {
        attributes.each(|name, value| {
            if name == "state" && value == "up" {
                self.hosts_up = self.hosts_up.saturating_add(1);
            }
        });
    }

    /// The first IP address of the host; hardware addresses do not parse as one.
    fn read_address(&mut self, attributes: &Attributes<'_>) {
        let host = &mut self.host;
        attributes.each(|name, value| {
            if name == "addr" && host.address.is_none() {
                host.address = value.parse().ok().map(|address: IpAddr| address.to_canonical().to_string());
            }
        });
    }

    fn begin_port(&mut self, attributes: &Attributes<'_>) {
        let mut port = Port::default();
        attributes.each(|name, value| match name {
            "portid" => port.number = value.parse().ok(),
            "protocol" => {
                port.protocol = Protocol::find(value);
                port.is_of_ip = value == "ip";
            }
            _ => {}
        });
        self.port = Some(port);
    }

    /// `open` alone: `open|filtered` means that nothing answered.
    fn read_state(&mut self, attributes: &Attributes<'_>) {
        if let Some(port) = &mut self.port {
            attributes.each(|name, value| port.is_open |= name == "state" && value == "open" && !port.is_of_ip);
        }
    }

    fn read_service(&mut self, attributes: &Attributes<'_>) {
        if let Some(port) = self.port.as_mut().filter(|port| port.is_open) {
            port.read_service(attributes);
        }
    }

    fn end_cpe(&mut self) {
        let service = self.port.as_mut().and_then(|port| port.service.as_mut());
        if let Some(service) = service.filter(|service| service.cpe.len() < MAX_NAMES) {
            service.cpe.push(text::line(&self.cpe, MAX_VALUE_BYTES));
        }
        self.cpe.clear();
    }

    fn read_system(&mut self, attributes: &Attributes<'_>) {
        let (mut name, mut accuracy) = (String::new(), String::new());
        attributes.each(|key, value| match key {
            "name" => name = text::line(value, MAX_VALUE_BYTES),
            "accuracy" => accuracy = text::line(value, 16),
            _ => {}
        });
        if self.host.systems.len() < MAX_NAMES {
            self.host.systems.push(format!("{name} ({accuracy} %)"));
        }
    }

    fn read_finish(&mut self, attributes: &Attributes<'_>) {
        let (mut exit, mut message) = (None, String::new());
        attributes.each(|name, value| match name {
            "exit" => exit = Some(value == "success"),
            "errormsg" => message = text::line(value, MAX_VALUE_BYTES),
            _ => {}
        });
        self.finish = match exit {
            Some(true) => Finish::Success,
            Some(false) => Finish::Error(message),
            None if self.is_old_format => Finish::Success,
            None => Finish::Missing,
        };
    }

    /// Tells of the port itself, once, before anything that scripts said of it.
    fn tell_port(&mut self) {
        let Some(port) = self.port.as_mut().filter(|port| port.is_open && !port.is_told) else { return };
        port.is_told = true;
        let place = self.host.address.as_deref().and_then(|host| port.place(host, self.started));
        match place {
            Some(place) => {
                let observation = port.weakness(place.port).observed(&place);
                self.tell(observation);
            }
            None => self.is_garbled = true,
        }
    }

    fn end_script(&mut self) {
        let Some(script) = self.script.take() else { return };
        let place = match (&self.port, self.host.address.as_deref()) {
            (Some(port), _) if !port.is_open => return,
            (Some(port), Some(host)) => port.place(host, self.started),
            (None, Some(host)) => Some(Place { started: self.started, ..Place::of(host) }),
            (_, None) => None,
        };
        let Some(place) = place else {
            self.is_garbled = true;
            return;
        };
        let (weaknesses, is_cut) = scripts::read(&script, &place);
        let observations: Vec<Observation> =
            weaknesses.into_iter().map(|weakness| weakness.observed(&place)).collect();
        self.is_cut |= is_cut || script.is_cut();
        if scripts::is_unchecked(&script) && self.unchecked.len() < MAX_UNCHECKED && !self.unchecked.contains(&script.id) {
            self.unchecked.push(text::line(&script.id, 50));
        }
        for observation in observations {
            self.tell(observation);
        }
    }

    fn end_host(&mut self) {
        let host = std::mem::take(&mut self.host);
        let (Some(best), Some(name)) = (host.systems.first(), host.address.as_deref()) else { return };
        let place = Place { started: self.started, ..Place::of(name) };
        let title = format!("Operating system: {best}");
        let weakness = Weakness::of(rules::HOST_OPERATING_SYSTEM, &host.systems.join("\n")).titled(&title);
        self.tell(weakness.observed(&place));
    }
}

impl Handler<Tag> for Report<'_> {
    fn open(&mut self, tag: Tag, parent: Tag, attributes: &Attributes<'_>) {
        match (tag, parent) {
            (Tag::Run, _) => self.begin_run(attributes),
            (Tag::Host, Tag::Run) => self.begin_host(attributes),
            (Tag::Status, Tag::Host) => self.read_status(attributes),
            (Tag::Address, Tag::Host) => self.read_address(attributes),
            (Tag::Port, Tag::Ports) => self.begin_port(attributes),
            (Tag::State, Tag::Port) => self.read_state(attributes),
            (Tag::Service, Tag::Port) => self.read_service(attributes),
            (Tag::Script, Tag::Port | Tag::HostScript) => {
                self.tell_port();
                self.script = Some(Script::begin(attributes));
            }
            (Tag::Table | Tag::Elem, _) => {
                if let Some(script) = &mut self.script {
                    script.open(attributes);
                }
            }
            (Tag::OsMatch, Tag::Os) => self.read_system(attributes),
            (Tag::Finished, Tag::RunStats) => self.read_finish(attributes),
            _ => {}
        }
    }

    fn text(&mut self, inside: Tag, piece: &str) {
        match (inside, &mut self.script) {
            (Tag::Elem, Some(script)) => script.text(piece),
            (Tag::Cpe, _) => text::push(&mut self.cpe, piece, MAX_VALUE_BYTES),
            _ => {}
        }
    }

    fn close(&mut self, tag: Tag, parent: Tag) {
        match (tag, parent) {
            (Tag::Cpe, Tag::Service) => self.end_cpe(),
            (Tag::Cpe, _) => self.cpe.clear(),
            (Tag::Table | Tag::Elem, _) => {
                if let Some(script) = &mut self.script {
                    script.close();
                }
            }
            (Tag::Script, _) => self.end_script(),
            (Tag::Port, Tag::Ports) => {
                self.tell_port();
                self.port = None;
            }
            (Tag::Host, Tag::Run) => self.end_host(),
            _ => {}
        }
    }
}
