//! Port lists as clients write them and as nmap gets them. Only numbers go in and only numbers of ours come out.

use std::fmt::{self, Write as _};

/// The longest text of a list.
const MAX_LENGTH_BYTES: usize = 4096;

/// Inclusive ranges, sorted and merged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PortRanges(Vec<(u16, u16)>);

impl PortRanges {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges themselves.
    pub(super) fn pairs(&self) -> Vec<(u16, u16)> {
        self.0.clone()
    }

    /// How many ports.
    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|(low, high)| u32::from(*high).saturating_sub(u32::from(*low)).saturating_add(1)).sum()
    }

    /// The same in parts of at most so many ports (at least one), in their order.
    pub(super) fn cut(&self, most: u32) -> Vec<Self> {
        let most = most.max(1);
        let (mut parts, mut part, mut room) = (Vec::new(), Vec::new(), most);
        for (low, high) in &self.0 {
            let (mut low, high) = (u32::from(*low), u32::from(*high));
            while low <= high {
                let last = high.min(low.saturating_add(room).saturating_sub(1));
                // Both lie between two ports.
                part.extend(u16::try_from(low).ok().zip(u16::try_from(last).ok()));
                room = room.saturating_sub(last.saturating_sub(low).saturating_add(1));
                low = last.saturating_add(1);
                if room == 0 {
                    parts.push(Self(std::mem::take(&mut part)));
                    room = most;
                }
            }
        }
        parts.extend((!part.is_empty()).then_some(Self(part)));
        parts
    }

    fn merged(mut ranges: Vec<(u16, u16)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
        for (low, high) in ranges {
            match merged.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                Some(_) | None => merged.push((low, high)),
            }
        }
        Self(merged)
    }
}

impl fmt::Display for PortRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (low, high)) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_char(',')?;
            }
            if low == high { write!(f, "{low}") } else { write!(f, "{low}-{high}") }?;
        }
        Ok(())
    }
}

/// Ports of both transports. A prefix `T:` or `U:` holds until the next one, as in nmap; without one a port is meant for
/// whatever is scanned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) tcp: PortRanges,
    pub(super) udp: PortRanges,
    /// Whether the client asked for TCP, or for UDP, by its prefix.
    pub(super) names_tcp: bool,
    pub(super) names_udp: bool,
}

impl Ports {
    /// Reads a list; the error says what was expected.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_LENGTH_BYTES {
            return Err("expected at most 4096 bytes");
        }
        let (mut tcp, mut udp) = (Vec::new(), Vec::new());
        let (mut names_tcp, mut names_udp) = (false, false);
        let mut scope = (true, true);
        for item in text.split(',') {
            let range = match (item.strip_prefix("T:"), item.strip_prefix("U:")) {
                (Some(range), _) => {
                    (scope, names_tcp) = ((true, false), true);
                    range
                }
                (None, Some(range)) => {
                    (scope, names_udp) = ((false, true), true);
                    range
                }
                (None, None) => item,
            };
            let range = parse_range(range)?;
            if scope.0 {
                tcp.push(range);
            }
            if scope.1 {
                udp.push(range);
            }
        }
        Ok(Self { tcp: PortRanges::merged(tcp), udp: PortRanges::merged(udp), names_tcp, names_udp })
    }
}

const EXPECTED: &str =
    "expected ports from 1 to 65535 and ranges of them, such as 22,80,8000-8100; T: or U: may come before a port";

fn parse_range(text: &str) -> Result<(u16, u16), &'static str> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (parse_port(low)?, parse_port(high)?);
    if low > high { Err("expected ranges that begin with their lower port") } else { Ok((low, high)) }
}

/// One port: ASCII digits alone, no sign, no leading zero.
fn parse_port(text: &str) -> Result<u16, &'static str> {
    let is_plain = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain || text.starts_with('0') {
        return Err(EXPECTED);
    }
    text.parse().map_err(|_| EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_merged_and_printed_again() {
        for (text, tcp, count) in [
            ("80", "80", 1),
            ("1-10000", "1-10000", 10_000),
            ("443,80,80-82,83", "80-83,443", 5),
            ("65535,1", "1,65535", 2),
            ("1-65535", "1-65535", 65_535),
            ("5-9,1-3,4", "1-9", 9),
        ] {
            let ports = Ports::parse(text).unwrap();
            assert_eq!((ports.tcp.to_string().as_str(), ports.tcp.count()), (tcp, count), "{text}");
            assert_eq!(ports.tcp, ports.udp);
        }
    }

    #[test]
    fn a_prefix_holds_until_the_next_one() {
        let ports = Ports::parse("7,U:53,161,T:80-81,443").unwrap();
        assert_eq!((ports.tcp.to_string(), ports.udp.to_string()), ("7,80-81,443".to_owned(), "7,53,161".to_owned()));
    }

    #[test]
    fn parts_hold_each_port_once_and_none_too_many() {
        let each = |ranges: &PortRanges| {
            ranges.0.iter().flat_map(|(low, high)| *low..=*high).collect::<Vec<u16>>()
        };
        for text in ["80", "1-65535", "1-10000", "1,3,5,7-20,30000-65535", "65535", "5-9,11-40"] {
            let whole = Ports::parse(text).unwrap().tcp;
            for most in [0, 1, 3, 7, 16_000, 65_534, 65_535, 100_000] {
                let parts = whole.cut(most);
                assert!(parts.iter().all(|part| part.count() <= most.max(1) && !part.is_empty()), "{text} {most}");
                assert_eq!(parts.iter().flat_map(each).collect::<Vec<_>>(), each(&whole), "{text} {most}");
                assert_eq!(parts.len(), usize::try_from(whole.count().div_ceil(most.max(1))).unwrap());
            }
        }
    }

    #[test]
    fn a10_anything_but_ports_is_refused() {
        let long = "1,".repeat(32 * 1024);
        for text in [
            "1-3 -oN x", "$(id)", "http*", "-", "0", "65536", "9-1", &long, "٤٤٣", "+80", " 80", "80 ", "", ",", "80,", ",80", "80,,81", "1-", "-1",
            "1--2", "1-2-3", "00080", "99999", "T:", "t:80", "TU:80", "S:80", "T:U:80", "80\n", "80;id", "０", "1e3", "0x50", "[80]", "U:http",
        ] {
            assert!(Ports::parse(text).is_err(), "{:?}", text.get(..20).unwrap_or(text));
        }
    }
}
