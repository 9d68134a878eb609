//! Logins that hydra guessed (`-b json`, `-b jsonv1`, and its text). Import only.
//!
//! The guessed password is never kept: the finding names the login alone.

use std::io::BufRead;

use picket_domain::{Confidence, Gap, Protocol};
use serde_json::Value;

use crate::{
    Context, Format, Head, Parsed,
    import::{self, Import},
    json, rules,
    tally::Tally,
    text,
    weakness::{Place, Weakness},
};

pub(super) const FORMATS: &[&dyn Format] = &[
    &Import { tool: "hydra", name: "json", blanks: &[], recognizes: is_json, read: read_json },
    &Import { tool: "hydra", name: "text", blanks: &[], recognizes: is_text, read: read_text },
];

fn is_json(head: &Head<'_>) -> bool {
    let is_named = head.text.to_ascii_lowercase().contains("hydra") || head.has_key("jsonoutputversion");
    head.is_json('{', &["generator"]) && is_named && !head.has_key("runs")
}

fn is_text(head: &Head<'_>) -> bool {
    head.first_line().starts_with("# Hydra v")
}

/// One login.
struct Login<'a> {
    host: &'a str,
    port: Option<u16>,
    service: &'a str,
    name: &'a str,
}

impl Login<'_> {
    fn tell(&self, context: &Context<'_>, tally: &mut Tally<'_>) {
        let Some(host) = context.host(self.host) else { return tally.garbled() };
        let service = text::line(self.service, 100);
        let protocol = if service.starts_with("snmp") { Protocol::Udp } else { Protocol::Tcp };
        let evidence = format!("service: {service}\nlogin: {}\nThe password is not kept.", self.name);
        let weakness = Weakness::of(rules::AUTH_GUESSED_CREDENTIALS, &evidence).about(self.name).sure(Confidence::High);
        let port = self.port.map(|port| (port, protocol));
        tally.tell(weakness.observed(&Place { port, ..Place::of(&host) }));
    }
}

fn read_json(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let end = json::stream(input, &[&["results"], &["errormessages"]], &mut |array, value| {
        if array == 0 {
            let login = Login {
                host: json::text(&value, "host"),
                port: json::port(&value, "port"),
                service: json::text(&value, "service"),
                name: json::text(&value, "login"),
            };
            login.tell(context, &mut tally);
        }
    });
    match end {
        Err(fault) => import::end(tally, Some(&fault)),
        Ok(rest) if rest.get("results").is_none() => import::incomplete(tally, "the report holds no list of results"),
        Ok(rest) if rest.get("success") == Some(&Value::Bool(false)) => {
            tally.end(Some((Gap::ToolFailed, "hydra says that it did not succeed".to_owned())))
        }
        Ok(_) => tally.end(None),
    }
}

/// `[21][ftp] host: 192.0.2.1   login: me   password: …`. Nothing says that the file is whole.
fn read_text(input: &mut dyn BufRead, context: &Context<'_>, tally: Tally<'_>) -> Parsed {
    import::texts(input, tally, &mut |line, tally| line.starts_with('#') || read_line(line, context, tally).is_some())
}

fn read_line(line: &str, context: &Context<'_>, tally: &mut Tally<'_>) -> Option<()> {
    let (port, rest) = line.strip_prefix('[')?.split_once(']')?;
    let (service, rest) = rest.strip_prefix('[')?.split_once(']')?;
    let (_, rest) = rest.split_once("host: ")?;
    let host = rest.split_whitespace().next()?;
    let login = rest.split_once("login: ").map(|(_, rest)| match rest.split_once("password:") {
        Some((login, _)) => login,
        // Where the password begins is unknown: the first word is none.
        None => rest.split_whitespace().next().unwrap_or_default(),
    });
    Login { host, port: port.parse().ok(), service, name: login.unwrap_or_default().trim() }.tell(context, tally);
    Some(())
}
