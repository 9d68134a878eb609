//! masscan's list (`-oL`): a line for each port and for each banner, between `#masscan` and `# end`.

use std::io::BufRead;

use picket_domain::Protocol;

use super::Port;
use crate::{Context, Head, Parsed, import, json, tally::Tally};

pub(super) fn recognizes(head: &Head<'_>) -> bool {
    head.first_line().trim_end() == "#masscan"
}

pub(super) fn read(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let (mut all, mut whole, mut is_ended) = (0_u64, 0_u64, false);
    let lines = json::lines(input, &mut |line| {
        let line = String::from_utf8_lossy(line);
        all = all.saturating_add(1);
        whole = whole.saturating_add(u64::from(line.starts_with('#') || tell(&line, context, &mut tally).is_some()));
        is_ended = line == "# end";
    });
    if lines.is_ok() && whole == all && whole > 0 && !is_ended {
        return import::incomplete(tally, "masscan did not say that it finished");
    }
    let lines = lines.map(|lines| json::Lines { is_cut: false, ..lines });
    Parsed { is_unmarked: false, ..import::end_lines(tally, lines, whole, all) }
}

/// `open tcp 80 192.0.2.1 1763859600`, `banner tcp 80 192.0.2.1 1763859600 http HTTP/1.1 200 OK`.
fn tell(line: &str, context: &Context<'_>, tally: &mut Tally<'_>) -> Option<()> {
    let mut words = line.splitn(7, ' ');
    let (state, protocol, number, address) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let number: u16 = number.parse().ok()?;
    let service = words.nth(1).unwrap_or_default();
    let banner = words.next().unwrap_or_default();
    if !matches!(state, "open" | "closed" | "banner") {
        return None;
    }
    if state != "closed" {
        let port = Port {
            number: Some(number).filter(|number| *number != 0),
            protocol: Protocol::find(protocol),
            is_echo: matches!(protocol, "icmp" | "arp"),
            service: service.to_owned(),
            banner: banner.to_owned(),
        };
        port.tell(address, context, tally);
    }
    Some(())
}
