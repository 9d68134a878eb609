//! What masscan calls JSON: an array with a comma too many, or closed by `{finished: 1}`, or objects line by line.

use std::io::BufRead;

use picket_domain::Protocol;
use serde_json::Value;

use super::Port;
use crate::{Context, Head, Parsed, import, json, tally::Tally};

/// One host with all its ports.
const MAX_RECORD_BYTES: usize = 1 << 20;

/// nmap's and others' JSON lack `proto`.
pub(super) fn recognizes(head: &Head<'_>) -> bool {
    let is_host = head.has_key("ip") && head.has_key("proto") && (head.has_key("ports") || head.has_key("rec_type"));
    head.text.starts_with(['[', '{']) && (is_host || head.text.trim_start_matches(['[', ' ', '\n', '\r']).starts_with("{finished:"))
}

pub(super) fn read(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let mut scanner = Scanner::default();
    let mut is_foreign = false;
    let end = scanner.run(input, &mut |record| match json::value(record) {
        Ok(value) => tell(&value, context, &mut tally),
        Err(_) if record.starts_with(b"{finished") => {}
        Err(_) => {
            is_foreign = true;
            tally.garbled();
        }
    });
    match (end, scanner.records) {
        (Err(reason), _) => import::incomplete(tally, reason),
        (Ok(()), 0) => tally.refuse("the output holds no record of masscan"),
        (Ok(()), 1) if is_foreign => tally.refuse("the output is not a report of masscan"),
        (Ok(()), _) if !scanner.is_ended() => import::incomplete(tally, "the output breaks off before its end"),
        (Ok(()), _) => tally.end(None),
    }
}

fn tell(record: &Value, context: &Context<'_>, tally: &mut Tally<'_>) {
    if record.get("finished").is_some() {
        return;
    }
    let address = json::text(record, "ip");
    let ports = json::items(record, "ports");
    let is_single = ports.is_empty() && record.get("port").is_some();
    for port in ports.iter().chain(Some(record).filter(|_| is_single)) {
        let is_other = |status: &str| !matches!(status, "" | "open");
        let data = port.get("data").unwrap_or(&Value::Null);
        if is_other(json::text(port, "status")) || is_other(json::text(data, "status")) {
            continue;
        }
        let service = port.get("service").unwrap_or(data);
        let port = Port {
            number: json::port(port, "port"),
            protocol: Protocol::find(json::text(port, "proto")),
            is_echo: json::text(port, "proto") == "icmp",
            service: import::first(service, &["name", "service_name"]).to_owned(),
            banner: json::text(service, "banner").to_owned(),
        };
        port.tell(address, context, tally);
    }
    if ports.is_empty() && !is_single {
        tally.garbled();
    }
}

/// Finds the outermost objects, whatever stands between them.
#[derive(Default)]
struct Scanner {
    record: Vec<u8>,
    depth: u32,
    is_text: bool,
    is_escaped: bool,
    is_array: bool,
    is_closed: bool,
    is_line_ended: bool,
    records: u64,
}

impl Scanner {
    fn run(&mut self, input: &mut dyn BufRead, each: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
        json::skip_mark(input).map_err(|_| "the output could not be read")?;
        loop {
            let available = input.fill_buf().map_err(|_| "the output could not be read")?;
            if available.is_empty() {
                return Ok(());
            }
            for byte in available {
                self.step(*byte, each)?;
            }
            let count = available.len();
            input.consume(count);
        }
    }

    fn step(&mut self, byte: u8, each: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
        self.is_line_ended = byte == b'\n';
        if self.depth == 0 && byte != b'{' {
            return self.between(byte);
        }
        if self.record.len() >= MAX_RECORD_BYTES {
            return Err("the output holds a record of more than 1 MiB");
        }
        self.record.push(byte);
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' if self.is_text => self.is_escaped = true,
            b'"' => self.is_text = !self.is_text,
            b'{' if !self.is_text => self.depth = self.depth.saturating_add(1),
            b'}' if !self.is_text => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if self.depth == 0 {
            self.records = self.records.saturating_add(1);
            each(&self.record);
            self.record.clear();
        }
        Ok(())
    }

    fn between(&mut self, byte: u8) -> Result<(), &'static str> {
        match byte {
            b'[' if self.records == 0 => self.is_array = true,
            b']' => self.is_closed = true,
            b',' | b'\0' => {}
            _ if byte.is_ascii_whitespace() => {}
            _ => return Err("the output holds what is no record of masscan"),
        }
        Ok(())
    }

    /// An array ends in its bracket, lines in a line feed.
    const fn is_ended(&self) -> bool {
        self.depth == 0 && if self.is_array { self.is_closed } else { self.is_line_ended }
    }
}
