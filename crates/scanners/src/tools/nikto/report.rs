//! Nikto's JSON: an object (2.1.6), or an array of them (2.5 and later), per host. None says whether it speaks TLS, so the
//! usual ports decide. The document is closed when the run ends.

use std::io::BufRead;

use picket_domain::{Gap, Observation};
use serde_json::Value;

use super::item::{Item, Meaning};
use crate::{
    Context, Parsed,
    json::{self, Fault},
    tally::Tally,
    weakness::Place,
};

const TLS_PORTS: [u16; 3] = [443, 4443, 8443];

pub(super) fn parse(input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
    let (mut tally, mut trouble) = (Tally::new(sink), Trouble::default());
    let read = json::stream(input, &[&[]], &mut |_, host| read_host(&host, context, &mut tally, &mut trouble));
    match read {
        Err(fault @ (Fault::Empty | Fault::Foreign)) => tally.refuse(fault.to_string()),
        Err(fault) => tally.end(Some((Gap::OutputIncomplete, fault.to_string()))),
        Ok(Value::Array(_)) => trouble.end(tally),
        Ok(host) if host.get("vulnerabilities").is_some() => {
            read_host(&host, context, &mut tally, &mut trouble);
            trouble.end(tally)
        }
        Ok(_) => tally.refuse("expected the vulnerabilities of Nikto"),
    }
}

fn read_host(host: &Value, context: &Context<'_>, tally: &mut Tally<'_>, trouble: &mut Trouble) {
    let name = context.site(json::text(host, "host")).or_else(|| context.site(json::text(host, "ip")));
    let port = json::port(host, "port");
    let place = match (&name, port) {
        (Some(name), Some(port)) => Some(Place::tcp(name, port, is_tls_port(port))),
        (Some(name), None) => Some(Place::of(name)),
        (None, _) => None,
    };
    if place.is_some() {
        tally.host_up();
    }
    for item in json::items(host, "vulnerabilities") {
        trouble.read(&item_of(item), place.as_ref(), context, tally);
    }
}

/// The rule of both formats where a report does not say whether it speaks TLS.
pub(super) fn is_tls_port(port: u16) -> bool {
    TLS_PORTS.contains(&port)
}

fn item_of(item: &Value) -> Item {
    let text = |key: &str| match item.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    };
    Item { id: text("id"), osvdb: text("OSVDB"), method: text("method"), url: text("url"), message: text("msg"), references: text("references") }
}

/// What went wrong in the run, by its own words.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    failure: Option<String>,
    is_late: bool,
}

impl Trouble {
    /// One item of the host at `place`.
    pub(super) fn read(&mut self, item: &Item, place: Option<&Place<'_>>, context: &Context<'_>, tally: &mut Tally<'_>) {
        match (item.meaning(place.is_some_and(|place| place.is_tls)), place) {
            (Meaning::Seen(weakness), Some(place)) => tally.tell(place.seen(*weakness, context)),
            (Meaning::Seen(_), None) => tally.garbled(),
            (Meaning::Failed(failure), _) => self.failure = Some(failure),
            (Meaning::RanOutOfTime, _) => self.is_late = true,
        }
    }

    /// The end of a report that is whole.
    pub(super) fn end(self, tally: Tally<'_>) -> Parsed {
        let gap = match self.failure {
            Some(failure) => Some((Gap::ToolFailed, format!("nikto ended with an error: {failure}"))),
            None if self.is_late => Some((Gap::TimedOut, "nikto stopped at its time limit".to_owned())),
            None if tally.hosts() == 0 => Some((Gap::OutputIncomplete, "no host was examined".to_owned())),
            None => None,
        };
        tally.end(gap)
    }
}
