//! The lists of `-oG`, which nmap and masscan write alike: a host in each line, its parts behind tabs. They hold ports alone:
//! what scripts said is not in them, and a list of a run with scripts is never complete.

use std::{collections::BTreeSet, io::BufRead};

use picket_domain::{Gap, Protocol, Service};

use crate::{
    Context, Head, Parsed, import, json, rules,
    tally::Tally,
    text,
    weakness::{Place, Weakness},
};

/// Text kept of what is said of a service or a system.
const MAX_VALUE_BYTES: usize = 256;
/// Ports that are remembered until their banner comes; those of more count for nothing, and the result says so.
const MAX_TOLD: usize = 1 << 17;

/// Whether a file begins as `tool` begins such a list. nmap's output for people has the same first line, but no line of a
/// host.
pub(crate) fn recognizes(head: &Head<'_>, tool: &str) -> bool {
    let first = head.first_line().to_ascii_lowercase();
    let is_begun =
        first.strip_prefix("# ").and_then(|line| line.strip_prefix(tool)).is_some_and(|line| line.starts_with(' '));
    let mut lines = head.text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let is_list = lines.next().is_none_or(|line| line.starts_with("Host: ") || line.starts_with("Timestamp: "));
    is_begun && first.contains(" scan initiated ") && is_list
}

/// Reads a list. `needs_hosts` tells that one without any host says that nothing was examined.
pub(crate) fn read(input: &mut dyn BufRead, context: &Context<'_>, tally: Tally<'_>, needs_hosts: bool) -> Parsed {
    let mut list = List {
        context,
        tally,
        last: String::new(),
        told: BTreeSet::new(),
        is_finished: false,
        is_scripted: false,
        timed_out: 0,
    };
    let (mut all, mut foreign) = (0_u64, 0_u64);
    let lines = json::lines(input, &mut |line| {
        all = all.saturating_add(1);
        foreign = foreign.saturating_add(u64::from(list.line(&String::from_utf8_lossy(line)).is_none()));
    });
    let List { tally, is_finished, is_scripted, timed_out, .. } = list;
    match lines {
        _ if all == 0 || foreign == all => tally.refuse("the output holds no list of ports"),
        Err(fault) => import::incomplete(tally, &fault.to_string()),
        Ok(lines) if lines.left_out > 0 => import::incomplete(tally, "the output holds a line of more than 4 MiB"),
        Ok(_) if foreign > 0 => import::incomplete(tally, "the output holds lines that cannot be understood"),
        Ok(lines) if lines.is_cut => import::incomplete(tally, "the last line has no end"),
        Ok(_) if !is_finished => import::incomplete(tally, "the tool did not say that it finished"),
        Ok(_) if timed_out > 0 => {
            tally.end(Some((Gap::TimedOut, format!("the tool gave up on {timed_out} hosts that took too long"))))
        }
        Ok(_) if needs_hosts && tally.hosts() == 0 => import::incomplete(tally, "no host was examined"),
        Ok(_) if is_scripted => import::incomplete(tally, "the list does not tell what scripts said; the XML does"),
        Ok(_) => tally.end(None),
    }
}

struct List<'s, 'c> {
    context: &'c Context<'c>,
    tally: Tally<'s>,
    /// The host of the line before, which may have a line for its state and one for its ports.
    last: String,
    /// The open ports of TCP and (`true`) UDP: masscan's banners follow in lines that name no protocol.
    told: BTreeSet<(String, u16, bool)>,
    is_finished: bool,
    is_scripted: bool,
    timed_out: u64,
}

impl List<'_, '_> {
    fn line(&mut self, line: &str) -> Option<()> {
        if let Some(comment) = line.strip_prefix('#') {
            self.is_finished = comment.contains(" done at ") || comment.contains(" run completed at ");
            self.is_scripted |= comment.split_once(" as: ").is_some_and(|(_, command)| is_scripted(command));
            return Some(());
        }
        self.is_finished = false;
        let part =
            |name: &str| line.split('\t').find_map(|part| part.strip_prefix(name)?.strip_prefix(": ")).map(str::trim);
        let name = part("Host")?.split_whitespace().next()?;
        let Some(host) = self.context.host(name) else {
            self.tally.garbled();
            return Some(());
        };
        let status = part("Status").unwrap_or_default();
        self.timed_out = self.timed_out.saturating_add(u64::from(status == "Timeout"));
        if status != "Down" && self.last != host {
            self.tally.host_up();
            host.clone_into(&mut self.last);
        }
        for port in ports(part("Ports").unwrap_or_default()) {
            port.tell(&host, &mut self.tally);
            if let Some((number, is_udp)) = port.may_speak().filter(|_| self.told.len() < MAX_TOLD) {
                self.told.insert((host.clone(), number, is_udp));
            }
        }
        if let Some(number) = part("Port") {
            let service = part("Service").unwrap_or_default();
            let protocol = number.parse().ok().and_then(|number| self.protocol_of(&host, number));
            Port::of_banner(number, protocol, service, part("Banner").unwrap_or_default()).tell(&host, &mut self.tally);
        }
        if let Some(system) = part("OS").filter(|system| !system.is_empty()) {
            let title = format!("Operating system: {}", text::line(system, MAX_VALUE_BYTES));
            self.tally
                .tell(Weakness::of(rules::HOST_OPERATING_SYSTEM, system).titled(&title).observed(&Place::of(&host)));
        }
        Some(())
    }
}

impl List<'_, '_> {
    /// The only protocol under which this port was told to be open: a banner of another one, or of both, is nobody's.
    fn protocol_of(&self, host: &str, number: u16) -> Option<Protocol> {
        let is_told = |is_udp| self.told.contains(&(host.to_owned(), number, is_udp));
        match (is_told(false), is_told(true)) {
            (true, false) => Some(Protocol::Tcp),
            (false, true) => Some(Protocol::Udp),
            (true, true) | (false, false) => None,
        }
    }
}

/// Whether a command line asks nmap for scripts: `-A`, `--script …` (one dash will do), `-sC`, also together with other
/// kinds of scan (`-sVC`) or behind letters that take no value (`-nA`).
fn is_scripted(command: &str) -> bool {
    let mut words = command.split_whitespace();
    while let Some(word) = words.next() {
        let Some(letters) = word.strip_prefix('-') else { continue };
        if letters.trim_start_matches('-').starts_with("script") {
            return true;
        }
        let rest = letters.trim_start_matches(|c: char| "46FfhInqRr".contains(c));
        let kinds = match rest.strip_prefix('s') {
            Some("") => words.next().unwrap_or_default(),
            kinds => kinds.unwrap_or_default(),
        };
        if rest.starts_with('A') || kinds.bytes().all(|kind| kind.is_ascii_alphabetic()) && kinds.contains('C') {
            return true;
        }
    }
    false
}

/// The ports of a line. What is said of a service may hold the comma between ports, but never a slash.
fn ports(list: &str) -> impl Iterator<Item = Port<'_>> {
    let is_port = |piece: &&str| {
        piece.split_once('/').is_some_and(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    list.split(", ").filter(is_port).map(Port::of)
}

/// `22/open/tcp//ssh//OpenSSH 9.2p1/`: number, state, protocol, owner, service, program number, software.
#[derive(Debug, Default)]
struct Port<'l> {
    number: Option<u16>,
    protocol: Option<Protocol>,
    is_open: bool,
    is_tls: bool,
    service: &'l str,
    software: &'l str,
}

impl<'l> Port<'l> {
    fn of(entry: &'l str) -> Self {
        let mut parts = entry.trim().split('/');
        let number = parts.next().and_then(|number| number.parse().ok()).filter(|number| *number != 0);
        let is_open = parts.next() == Some("open");
        let protocol = parts.next().and_then(Protocol::find);
        let service = parts.nth(1).unwrap_or_default().trim_end_matches('?');
        let software = parts.nth(1).unwrap_or_default().trim();
        let is_tls = service.starts_with("ssl|") || service == "https";
        Self { number, protocol, is_open, is_tls, service: service.strip_prefix("ssl|").unwrap_or(service), software }
    }

    fn of_banner(number: &str, protocol: Option<Protocol>, service: &'l str, banner: &'l str) -> Self {
        let number = number.parse().ok().filter(|number| *number != 0);
        Self { number, protocol, is_open: true, is_tls: false, service, software: banner }
    }

    /// Its number, and whether it is of UDP: nobody reads banners of SCTP.
    fn may_speak(&self) -> Option<(u16, bool)> {
        let is_udp = match self.protocol? {
            Protocol::Tcp => false,
            Protocol::Udp => true,
            Protocol::Sctp => return None,
        };
        self.number.filter(|_| self.is_open).map(|number| (number, is_udp))
    }

    /// A name by the number of the port is no knowledge: only one with software, or inside of TLS, was seen.
    fn service(&self) -> Option<Service> {
        let is_inside = self.is_tls && self.service != "https";
        let name = match self.service {
            "" | "unknown" => return None,
            "http" if self.is_tls => "https".to_owned(),
            name if is_inside => format!("ssl/{name}"),
            name => name.to_owned(),
        };
        let is_seen = is_inside || !self.software.is_empty();
        is_seen.then(|| Service { name: Some(text::line(&name, MAX_VALUE_BYTES)), ..Service::default() })
    }

    fn tell(&self, host: &str, tally: &mut Tally<'_>) {
        if !self.is_open {
            return;
        }
        let (Some(number), Some(protocol)) = (self.number, self.protocol) else { return tally.garbled() };
        let service = self.service();
        let name = service.as_ref().and_then(|service| service.name.as_deref()).unwrap_or(self.service);
        let colon = if name.is_empty() { "" } else { ": " };
        let software = if self.software.is_empty() { String::new() } else { format!(" ({})", self.software) };
        let title = format!("Open port {number}/{}{colon}{name}{software}", protocol.name());
        let label = if service.is_some() { "service" } else { "service, by the number of the port" };
        let evidence = format!("{label}: {name}\nsoftware: {}", self.software);
        let place =
            Place { port: Some((number, protocol)), is_tls: self.is_tls, service: service.as_ref(), ..Place::of(host) };
        tally.tell(Weakness::of(rules::PORT_OPEN, &evidence).titled(&title).observed(&place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const BEGIN: &str = "# Nmap 7.93 scan initiated Mon Nov 23 01:00:00 2026 as: nmap -sV -oG - 192.0.2.0/30\n";
    const END: &str = "# Nmap done at Mon Nov 23 01:00:09 2026 -- 4 IP addresses (1 host up) scanned in 9.00 seconds\n";

    fn read(text: &str) -> (Parsed, Vec<picket_domain::Observation>) {
        let format = crate::recognize(&Head::new(text.as_bytes(), true)).expect("a list");
        testing::read(format, text.as_bytes())
    }

    #[test]
    fn ports_of_a_host_are_told_with_what_was_seen_of_them() {
        let ports = "22/open/tcp//ssh//OpenSSH 9.2p1 Debian 2+deb12u2 (protocol 2.0)/, 53/open|filtered/udp//domain///, \
                     80/open/tcp//http///, 443/open/tcp//ssl|http//Apache httpd 2.4.6 ((CentOS) OpenSSL|1.0.2k, PHP|5.4)/, 81/closed/tcp/////";
        let list = format!(
            "{BEGIN}Host: 192.0.2.1 (a.example)\tStatus: Up\nHost: 192.0.2.1 (a.example)\tPorts: {ports}\tIgnored State: filtered (995)\tOS: Linux 5.0 - 5.4\n\
             Host: 192.0.2.2 ()\tStatus: Down\n{END}"
        );
        let (parsed, seen) = read(&list);
        assert!(parsed.is_complete() && parsed.hosts_up == 1, "{parsed:?}");
        let told: Vec<_> = seen
            .iter()
            .map(|one| (one.location.to_string(), one.service.as_ref().and_then(|s| s.name.clone())))
            .collect();
        let expected = [
            ("192.0.2.1:22/tcp", Some("ssh")),
            ("192.0.2.1:80/tcp", None),
            ("192.0.2.1:443/tcp", Some("https")),
            ("192.0.2.1", None),
        ];
        assert_eq!(told, expected.map(|(at, name)| (at.to_owned(), name.map(str::to_owned))));
        assert_eq!(seen[3].title, "Operating system: Linux 5.0 - 5.4");
    }

    #[test]
    fn a_list_is_whole_only_with_its_end_and_without_scripts_and_time_outs() {
        let host = "Host: 192.0.2.1 ()\tPorts: 22/open/tcp//ssh///\n";
        for (list, part) in [
            (format!("{BEGIN}{host}"), "did not say"),
            (format!("{BEGIN}{host}{END}{BEGIN}{host}"), "did not say"),
            (format!("{BEGIN}{END}"), "no host"),
            (format!("{BEGIN}Host: 192.0.2.1 ()\tStatus: Timeout\n{END}"), "too long"),
            (format!("{}{host}{END}", BEGIN.replace("-sV", "-sV -sC")), "scripts"),
            (format!("{}{host}{END}", BEGIN.replace("-sV", "--script vuln")), "scripts"),
            (format!("{}{host}{END}", BEGIN.replace("-sV", "-script=vuln")), "scripts"),
            (format!("{}{host}{END}", BEGIN.replace("-sV", "-sVC")), "scripts"),
            (format!("{}{host}{END}", BEGIN.replace("-sV", "-n4sCV")), "scripts"),
            (format!("{}{host}{END}", BEGIN.replace("-sV", "-s SC")), "scripts"),
            (format!("{}{host}{END}", BEGIN.replace("-sV", "-nA")), "scripts"),
            (format!("{}{host}{END}", BEGIN.replace("192.0.2.0/30", "192.0.2.0/30 -A")), "scripts"),
            (format!("{BEGIN}{host}what is this\n{END}"), "cannot be understood"),
        ] {
            let (parsed, _) = read(&list);
            assert!(parsed.reason.contains(part), "{list}\n{parsed:?}");
        }
        for words in ["-sV", "-sS -p C", "-oG A.txt -sU", "--max-rate 5 -sV"] {
            let (parsed, _) = read(&format!("{}{host}{END}", BEGIN.replace("-sV", words)));
            assert!(parsed.is_complete(), "{words}: {parsed:?}");
        }
        let old = "# nmap 3.50 scan initiated Tue Feb 5 as: nmap -oG - 192.0.2.1\nHost: 192.0.2.1 (a)\tPorts: 22/open/tcp//ssh///\n# Nmap run completed at Tue Feb 5 -- 1 IP address\n";
        assert!(read(old).0.is_complete());
    }

    #[test]
    fn a_banner_is_of_the_one_protocol_under_which_its_port_was_told() {
        let port = |entry: &str| format!("Timestamp: 1\tHost: 192.0.2.7 ()\tPorts: {entry}\n");
        let banner = |host: &str| format!("Host: {host} ()\tPort: 161\tService: snmp\tBanner: Linux router\n");
        let (tcp, udp) = (port("161/open/tcp//snmp//"), port("161/open/udp//snmp//"));
        for (lines, expected) in [
            (format!("{tcp}{}", banner("192.0.2.7")), Some("192.0.2.7:161/tcp")),
            (format!("{udp}{}", banner("192.0.2.7")), Some("192.0.2.7:161/udp")),
            (format!("{tcp}{udp}{}", banner("192.0.2.7")), None),
            (format!("{udp}{}", banner("192.0.2.8")), None),
            (format!("{}{}", port("80/open/tcp//http//"), banner("192.0.2.7")), None),
        ] {
            let list = format!(
                "# Masscan 1.3.2 scan initiated Sun Nov 23 01:00:00 2025\n# Ports scanned: TCP(1;161,) UDP(1;161,)\n{lines}# Masscan done at Sun Nov 23 01:00:09 2025\n"
            );
            let (parsed, seen) = read(&list);
            assert_eq!(parsed.is_complete(), expected.is_some(), "{list}\n{parsed:?}");
            let told =
                seen.iter().find(|one| one.evidence.contains("Linux router")).map(|one| one.location.to_string());
            assert_eq!(told.as_deref(), expected, "{list}");
        }
    }

    #[test]
    fn what_nmap_prints_for_people_is_no_list() {
        for text in [
            format!("{BEGIN}Nmap scan report for 192.0.2.1\nHost is up.\n"),
            "Host: 192.0.2.1 ()\tStatus: Up\n".to_owned(),
        ] {
            assert!(crate::recognize(&Head::new(text.as_bytes(), true)).is_none(), "{text}");
        }
    }
}
