//! nuclei's records: one per line (`-jsonl`), or all of them in an array (`-json-export`).

use std::io::BufRead;

use picket_domain::{Gap, Observation, Protocol};
use serde::Deserialize;
use serde_json::Value;

use super::{
    meaning,
    record::Record,
};
use crate::{
    Context, Parsed, import,
    json::{self, Fault},
    page::Page,
    tally::Tally,
    weakness::Place,
};

/// Reads lines. nuclei says nothing when it ends, so no line at all tells nothing, not even that it ran.
pub(super) fn lines(input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
    let (mut tally, mut records, mut foreign) = (Tally::new(sink), 0_u64, 0_u64);
    let read = json::lines(input, &mut |line| match serde_json::from_slice::<Record<'_>>(line) {
        Ok(record) if !record.template.as_str().is_empty() => {
            records = records.saturating_add(1);
            tell(&record, Some(line), context, &mut tally);
        }
        Ok(_) | Err(_) => foreign = foreign.saturating_add(1),
    });
    match read {
        Err(fault) => tally.end(Some((Gap::OutputIncomplete, fault.to_string()))),
        Ok(_) if records == 0 && foreign > 0 => tally.refuse("expected records of nuclei, one per line"),
        Ok(read) if foreign > 0 || read.left_out > 0 => {
            let lines = foreign.saturating_add(read.left_out);
            tally.end(Some((Gap::OutputIncomplete, format!("{lines} lines are no whole records: the output broke off or is damaged"))))
        }
        Ok(_) if records == 0 => {
            tally.end(Some((Gap::OutputIncomplete, "nothing was reported, and nuclei does not tell whether it finished".to_owned())))
        }
        Ok(_) => import::unmarked(tally.end(None)),
    }
}

/// Reads an array.
pub(super) fn array(input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
    let mut tally = Tally::new(sink);
    let read = json::stream(input, &[&[]], &mut |_, value| match Record::deserialize(&value) {
        Ok(record) if !record.template.as_str().is_empty() => tell(&record, None, context, &mut tally),
        Ok(_) | Err(_) => tally.garbled(),
    });
    match read {
        Err(fault @ (Fault::Empty | Fault::Foreign)) => tally.refuse(fault.to_string()),
        Err(fault) => tally.end(Some((Gap::OutputIncomplete, fault.to_string()))),
        Ok(Value::Array(_)) => tally.end(None),
        Ok(_) => tally.refuse("expected an array of records"),
    }
}

/// The observations of one record; `line` is the JSON that it was read from.
pub(super) fn tell(record: &Record<'_>, line: Option<&[u8]>, context: &Context<'_>, tally: &mut Tally<'_>) {
    if record.status == Some(false) {
        return;
    }
    match Spot::of(record, context).or_else(|| Spot::of_question(line?, context)) {
        Some(spot) => {
            if tally.hosts() == 0 {
                tally.host_up();
            }
            for weakness in meaning::weaknesses(record, spot.path.as_deref()) {
                tally.tell(spot.place().seen(weakness, context));
            }
        }
        None => tally.garbled(),
    }
}

/// Where a record says that it matched.
struct Spot {
    host: String,
    port: Option<u16>,
    is_tls: bool,
    path: Option<String>,
}

impl Spot {
    /// The first of its fields that names a place. `matched-at` is missing in records of checks that ran as scripts.
    fn of(record: &Record<'_>, context: &Context<'_>) -> Option<Self> {
        let places = [&record.matched, &record.path, &record.url, &record.host];
        let mut spots = places.iter().filter_map(|place| Self::named(place.as_str(), record, context));
        spots.next().or_else(|| {
            let host = context.host(record.ip.as_str()).or_else(|| context.host.map(str::to_owned))?;
            Some(Self { host, port: port(record), is_tls: record.scheme.as_str() == "https", path: None })
        })
    }

    fn named(place: &str, record: &Record<'_>, context: &Context<'_>) -> Option<Self> {
        // Checks that run as scripts print a slash before the address.
        let place = place.strip_prefix('/').unwrap_or(place);
        if let Some(page) = Page::of(place, context) {
            return Some(Self { host: page.host, port: Some(page.port), is_tls: page.is_tls, path: Some(page.path) });
        }
        // `host:port` of checks that speak no HTTP, or a name alone.
        let (name, number) = match place.rsplit_once(':') {
            Some((name, digits)) if !name.contains(':') || name.ends_with(']') => (name, Some(digits.parse::<u16>().ok()?)),
            _ => (place, port(record)),
        };
        let host = if number.is_some() { context.host(name)? } else { context.site(name)? };
        let is_tls = record.kind.as_str() == "ssl" || record.scheme.as_str() == "https";
        Some(Self { host, port: number.filter(|port| *port != 0), is_tls, path: None })
    }

    /// A record of a DNS check may name its host in the question alone.
    fn of_question(line: &[u8], context: &Context<'_>) -> Option<Self> {
        let value = json::value(line).ok()?;
        let (_, question) = json::text(&value, "request").split_once("QUESTION SECTION:\n;")?;
        let host = context.site(question.split_whitespace().next()?)?;
        Some(Self { host, port: None, is_tls: false, path: None })
    }

    fn place(&self) -> Place<'_> {
        let port = self.port.map(|port| (port, Protocol::Tcp));
        Place { port, is_tls: self.is_tls, ..Place::of(&self.host) }
    }
}

fn port(record: &Record<'_>) -> Option<u16> {
    record.port.as_str().parse().ok().filter(|port| *port != 0)
}
