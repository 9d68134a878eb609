//! A client's parameters for nmap, and the tasks they ask for. Everything is matched against lists of ours: what is not on
//! a list is refused with the name of its field, and only values of these types reach `argv.rs`.

use picket_domain::{Needs, Pool, SandboxLevel};
use serde_json::{Map, Value};

use super::{
    ports::{PortRanges, Ports},
    schema::SCRIPTS,
};
use crate::{ParamsError, TaskShape};

/// Flags that `scan_type` may hold, in the order of their canonical form.
const FLAGS: [&str; 8] = ["-sT", "-sS", "-sU", "-sV", "-sC", "-O", "-F", "-Pn"];
pub(super) const MAX_FLAGS_BYTES: usize = 128;
pub(super) const MAX_TOP_PORTS: u16 = 1000;
pub(super) const DEFAULT_TOP_PORTS: u16 = 1000;
/// nmap's own `-F`.
const FAST_TOP_PORTS: u16 = 100;
/// Closed UDP ports answer about once a second (nmap, "Port Scanning Techniques"): more would run for hours.
const MAX_UDP_PORTS: u32 = 1000;
pub(super) const DEFAULT_TIMING: u8 = 3;
/// The rate that no run exceeds (`--max-rate`), in packets per second.
pub(super) const MAX_RATE: u16 = 1000;

/// What is scanned, and by which means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Technique {
    /// TCP by plain connections.
    Connect,
    /// TCP by raw packets, with or without a look at the operating system.
    Raw {
        /// Whether `-O` was asked for.
        detects_os: bool,
        /// Whether `-sS` was asked for, and not only `-O`, which needs it.
        is_named: bool,
    },
    /// UDP, by raw packets.
    Udp,
}

/// Which ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selection {
    /// The most common ones.
    Top(u16),
    /// These.
    Listed(PortRanges),
}

/// One run of nmap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) technique: Technique,
    pub(super) versions: bool,
    pub(super) default_scripts: bool,
    pub(super) scripts: Vec<&'static str>,
    pub(super) selection: Selection,
    /// 2, 3 or 4.
    pub(super) timing: u8,
    /// Packets per second that nmap must not stay below.
    pub(super) min_rate: Option<u16>,
}

/// Reads the parameters and cuts them into runs.
pub(super) fn parse(params: Option<&Value>) -> Result<Vec<Shape>, ParamsError> {
    let request = match params {
        None => Request::read(&Map::new())?,
        Some(Value::Object(fields)) => Request::read(fields)?,
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            return Err(ParamsError::whole("invalid_type", "expected an object"));
        }
    };
    request.shapes()
}

/// The request as a whole, before it is cut.
struct Request {
    flags: Vec<&'static str>,
    ports: Option<Ports>,
    top_ports: Option<u16>,
    timing: u8,
    min_rate: Option<u16>,
    scripts: Vec<&'static str>,
}

impl Request {
    fn read(fields: &Map<String, Value>) -> Result<Self, ParamsError> {
        let mut request = Self {
            flags: Vec::new(),
            ports: None,
            top_ports: None,
            timing: DEFAULT_TIMING,
            min_rate: None,
            scripts: Vec::new(),
        };
        for (name, value) in fields {
            match name.as_str() {
                "scan_type" => request.flags = read_flags(value)?,
                "ports" => request.ports = Some(read_ports(value)?),
                "timing" => request.timing = read_timing(value)?,
                "top_ports" => request.top_ports = Some(read_count("top_ports", value, MAX_TOP_PORTS)?),
                "min_rate" => request.min_rate = Some(read_count("min_rate", value, MAX_RATE)?),
                "scripts" => request.scripts = read_scripts(value)?,
                unknown => return Err(unknown_field(unknown)),
            }
        }
        Ok(request)
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    /// Flags that need more than the others become runs of their own (`docs/contract.md` §13): versions and scripts go
    /// with plain connections, even beside `-sS`, so that they complete where no worker has raw sockets. Only when UDP alone is
    /// asked for do they go with it alone.
    fn shapes(&self) -> Result<Vec<Shape>, ParamsError> {
        if self.has("-sT") && self.has("-sS") {
            return Err(ParamsError::of("scan_type", "conflict", "expected one kind of TCP scan: -sT or -sS, not both"));
        }
        let (udp, raw) = (self.has("-sU"), self.has("-sS") || self.has("-O"));
        let is_udp_alone = udp && !self.has("-sS") && !self.has("-sT");
        let has_details = self.has("-sV") || self.has("-sC") || !self.scripts.is_empty();
        let connect = self.has("-sT") || (!raw && !udp) || (has_details && !is_udp_alone);

        let raw_technique = Technique::Raw { detects_os: self.has("-O"), is_named: self.has("-sS") };
        let wanted = [(connect, Technique::Connect), (raw, raw_technique), (udp, Technique::Udp)];
        let techniques: Vec<Technique> =
            wanted.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, technique)| technique).collect();
        self.check_transports(&techniques)?;
        techniques.into_iter().map(|technique| self.shape(technique)).collect()
    }

    fn shape(&self, technique: Technique) -> Result<Shape, ParamsError> {
        let with_details = !matches!(technique, Technique::Raw { .. });
        Ok(Shape {
            technique,
            versions: with_details && self.has("-sV"),
            default_scripts: with_details && self.has("-sC"),
            scripts: if with_details { self.scripts.clone() } else { Vec::new() },
            selection: self.selection(technique)?,
            timing: self.timing,
            min_rate: self.min_rate,
        })
    }

    fn selection(&self, technique: Technique) -> Result<Selection, ParamsError> {
        let ways = [self.ports.is_some(), self.top_ports.is_some(), self.has("-F")];
        if ways.into_iter().filter(|is_given| *is_given).count() > 1 {
            return Err(ParamsError::of("ports", "conflict", "expected one of ports, top_ports and -F, not several"));
        }
        let Some(ports) = &self.ports else {
            let default = if self.has("-F") { FAST_TOP_PORTS } else { DEFAULT_TOP_PORTS };
            return Ok(Selection::Top(self.top_ports.unwrap_or(default)));
        };
        let ranges = if technique == Technique::Udp { &ports.udp } else { &ports.tcp };
        if technique == Technique::Udp && ranges.count() > MAX_UDP_PORTS {
            return Err(ParamsError::of("ports", "too_many", "expected at most 1000 UDP ports"));
        }
        Ok(Selection::Listed(ranges.clone()))
    }

    /// Ports of a transport that is not scanned would look as if they had been.
    fn check_transports(&self, techniques: &[Technique]) -> Result<(), ParamsError> {
        let Some(ports) = &self.ports else { return Ok(()) };
        let scans_udp = techniques.contains(&Technique::Udp);
        let scans_tcp = techniques.iter().any(|technique| *technique != Technique::Udp);
        let fault = if ports.names_udp && !scans_udp {
            "expected -sU in scan_type for UDP ports"
        } else if ports.names_tcp && !scans_tcp {
            "expected -sT or -sS in scan_type for TCP ports beside -sU"
        } else if scans_tcp && ports.tcp.is_empty() {
            "expected TCP ports for the TCP scan that scan_type asks for"
        } else if scans_udp && ports.udp.is_empty() {
            "expected UDP ports for -sU"
        } else {
            return Ok(());
        };
        Err(ParamsError::of("ports", "conflict", fault))
    }
}

fn read_flags(value: &Value) -> Result<Vec<&'static str>, ParamsError> {
    let tokens: Vec<&str> = match value {
        Value::String(text) if text.len() > MAX_FLAGS_BYTES => {
            return Err(ParamsError::of("scan_type", "too_long", "expected at most 128 bytes"));
        }
        Value::String(text) => text.split(' ').collect(),
        Value::Array(items) if items.len() <= FLAGS.len() => items.iter().map(Value::as_str).collect::<Option<_>>().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) | Value::Array(_) => Vec::new(),
    };
    let flags: Option<Vec<&'static str>> =
        tokens.iter().map(|token| FLAGS.into_iter().find(|flag| flag == token)).collect();
    match flags {
        Some(flags) if !flags.is_empty() => Ok(flags),
        Some(_) | None => {
            let expected = format!("expected some of {}, each separated by one space", FLAGS.join(", "));
            Err(ParamsError::of("scan_type", "invalid", expected))
        }
    }
}

fn read_ports(value: &Value) -> Result<Ports, ParamsError> {
    let Value::String(text) = value else {
        return Err(ParamsError::of("ports", "invalid_type", "expected a string such as \"22,80,8000-8100\""));
    };
    Ports::parse(text).map_err(|expected| ParamsError::of("ports", "invalid", expected))
}

fn read_timing(value: &Value) -> Result<u8, ParamsError> {
    let read = match value {
        Value::String(text) => match text.strip_prefix('-').unwrap_or(text) {
            "T2" => Some(2),
            "T3" => Some(3),
            "T4" => Some(4),
            _ => None,
        },
        Value::Number(number) => number.as_u64().and_then(|level| u8::try_from(level).ok()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    read.filter(|level| (2..=4).contains(level))
        .ok_or_else(|| ParamsError::of("timing", "invalid", "expected -T2, -T3 or -T4, or the number 2, 3 or 4"))
}

/// A whole number from 1 to `most`.
fn read_count(field: &str, value: &Value, most: u16) -> Result<u16, ParamsError> {
    let count = value.as_u64().and_then(|count| u16::try_from(count).ok()).filter(|count| (1..=most).contains(count));
    count.ok_or_else(|| ParamsError::of(field, "invalid", format!("expected a whole number from 1 to {most}")))
}

fn read_scripts(value: &Value) -> Result<Vec<&'static str>, ParamsError> {
    let Value::Array(names) = value else {
        return Err(ParamsError::of("scripts", "invalid_type", "expected a list of script names"));
    };
    if names.len() > SCRIPTS.len() {
        return Err(ParamsError::of("scripts", "too_many", format!("expected at most {} names", SCRIPTS.len())));
    }
    let mut scripts = Vec::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        let known = name.as_str().and_then(|name| SCRIPTS.iter().copied().find(|script| *script == name));
        let fault = || {
            let expected = "expected the name of a script that the tool's schema lists";
            ParamsError::of(&format!("scripts[{place}]"), "not_allowed", expected)
        };
        scripts.push(known.ok_or_else(fault)?);
    }
    scripts.sort_unstable();
    scripts.dedup();
    Ok(scripts)
}

/// The field's name is the client's text: shortened, and without what could disturb a log.
fn unknown_field(name: &str) -> ParamsError {
    let message = "expected one of scan_type, ports, timing, top_ports, min_rate and scripts".to_owned();
    ParamsError { message, ..crate::parameters::unknown_field(name) }
}

impl Shape {
    /// The task that this run is.
    pub(super) fn task(&self) -> TaskShape {
        let ports = match &self.selection {
            Selection::Top(count) => u32::from(*count),
            Selection::Listed(ranges) => ranges.count(),
        };
        TaskShape { params: self.params(), needs: self.needs(), ports }
    }

    /// The same in parts of at most so many ports; the most common ones are never so many.
    pub(super) fn by_ports(&self, most: u32) -> Vec<Self> {
        let Selection::Listed(ranges) = &self.selection else { return vec![self.clone()] };
        let part = |ranges| Self { selection: Selection::Listed(ranges), ..self.clone() };
        ranges.cut(most).into_iter().map(part).collect()
    }

    fn needs(&self) -> Needs {
        match self.technique {
            Technique::Connect => Needs { pool: Pool::Net, level: SandboxLevel::L2 },
            Technique::Raw { .. } | Technique::Udp => Needs { pool: Pool::NetRaw, level: SandboxLevel::L0 },
        }
    }

    /// The canonical parameters: [`parse`] makes exactly this shape of them.
    fn params(&self) -> Value {
        let mut params = Map::new();
        params.insert("scan_type".to_owned(), Value::from(self.flags().join(" ")));
        params.insert("timing".to_owned(), Value::from(self.timing));
        if let Some(rate) = self.min_rate {
            params.insert("min_rate".to_owned(), Value::from(rate));
        }
        match &self.selection {
            Selection::Top(count) => params.insert("top_ports".to_owned(), Value::from(*count)),
            Selection::Listed(ranges) => params.insert("ports".to_owned(), Value::from(ranges.to_string())),
        };
        if !self.scripts.is_empty() {
            params.insert("scripts".to_owned(), Value::from(self.scripts.clone()));
        }
        Value::Object(params)
    }

    fn flags(&self) -> Vec<&'static str> {
        let (connect, raw, udp, os) = match self.technique {
            Technique::Connect => (true, false, false, false),
            Technique::Raw { detects_os, is_named } => (false, is_named, false, detects_os),
            Technique::Udp => (false, false, true, false),
        };
        let set = [connect, raw, udp, self.versions, self.default_scripts, os];
        FLAGS.into_iter().zip(set).filter(|(_, is_set)| *is_set).map(|(flag, _)| flag).collect()
    }
}
