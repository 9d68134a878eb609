//! What an organization never has scanned: a host, a network, or every name of a pattern. The database says the same of
//! tasks (`picket_covers`); a test of the store holds the two against each other.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use crate::{HostName, Target, TargetError, TargetKind, target::canonical_network};

/// The longest pattern, in bytes.
const LONGEST: usize = 253;

/// Something that is never scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exclusion {
    /// That very name.
    Host(HostName),
    /// Every address of a network of any size, and every name that leads to one of them.
    Network(IpNet),
    /// Every name that fits; `*` stands for any characters, dots too.
    Names(String),
}

/// A text that excludes nothing. Says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExclusionError {
    /// Not a pattern of names.
    #[error("expected a pattern of letters, digits, hyphens, dots and `*`, with at least one letter or digit")]
    Pattern,
    /// Not a host, an address or a network.
    #[error(transparent)]
    Target(#[from] TargetError),
}

impl Exclusion {
    /// Reads a host name, an address, a network of any size, or a pattern such as `*.example.com`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, ExclusionError> {
        if text.contains('*') {
            return pattern(text);
        }
        if let Ok(net) = text.parse::<IpNet>() {
            if net.trunc() != net {
                return Err(TargetError::HostBits { network: net.trunc() }.into());
            }
            return Ok(Self::Network(canonical_network(net)));
        }
        Ok(match Target::parse(text)?.kind() {
            TargetKind::Host(name) => Self::Host(name.clone()),
            TargetKind::Address(address) => Self::Network(IpNet::from(*address)),
            TargetKind::Network(net) => Self::Network(*net),
        })
    }

    /// The name of its kind on the wire and in the database.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Host(_) => "host",
            Self::Network(_) => "network",
            Self::Names(_) => "names",
        }
    }

    /// Whether it keeps the target from being scanned: by its name, by one of the addresses that it was found to have, or
    /// since it holds an excluded address.
    #[must_use]
    pub fn covers(&self, target: &Target, resolved: &[IpAddr]) -> bool {
        match (self, target.kind()) {
            (Self::Network(net), TargetKind::Network(asked)) => net.contains(asked) || asked.contains(net),
            (Self::Network(net), TargetKind::Address(address)) => net.contains(address),
            (Self::Network(net), TargetKind::Host(_)) => resolved.iter().any(|address| net.contains(address)),
            (_, TargetKind::Host(name)) => self.covers_name(name.ascii()),
            (Self::Host(_) | Self::Names(_), TargetKind::Address(_) | TargetKind::Network(_)) => false,
        }
    }

    /// Whether it names this host.
    #[must_use]
    pub fn covers_name(&self, name: &str) -> bool {
        match self {
            Self::Host(host) => host.ascii() == name,
            Self::Names(pattern) => fits(pattern, name),
            Self::Network(_) => false,
        }
    }
}

impl fmt::Display for Exclusion {
    /// The canonical form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => name.fmt(f),
            Self::Network(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Self::Network(net) => net.fmt(f),
            Self::Names(pattern) => f.write_str(pattern),
        }
    }
}

fn pattern(text: &str) -> Result<Exclusion, ExclusionError> {
    let text = text.to_ascii_lowercase();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.*".contains(&byte));
    let names_something = text.bytes().any(|byte| byte.is_ascii_alphanumeric());
    // `**` says no more than `*` and only costs time.
    if text.len() > LONGEST || !is_plain || !names_something || text.contains("**") {
        return Err(ExclusionError::Pattern);
    }
    Ok(Exclusion::Names(text))
}

/// Whether `name` fits a pattern where `*` stands for any characters. Greedy from the left: linear for each part.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(exclusion: &str, target: &str, resolved: &[&str]) -> bool {
        let resolved: Vec<IpAddr> = resolved.iter().map(|text| text.parse().unwrap()).collect();
        Exclusion::parse(exclusion).unwrap().covers(&Target::parse(target).unwrap(), &resolved)
    }

    #[test]
    fn a_host_is_excluded_by_name_pattern_or_address() {
        let at = ["192.0.2.7"];
        for exclusion in ["www.example.com", "*.example.com", "w*.com", "192.0.2.7", "192.0.2.0/24", "0.0.0.0/0"] {
            assert!(covers(exclusion, "www.example.com", &at), "{exclusion}");
        }
        for exclusion in ["example.com", "*.example.org", "*.www.example.com", "192.0.3.0/24", "::/0", "www*x.com"] {
            assert!(!covers(exclusion, "www.example.com", &at), "{exclusion}");
        }
    }

    #[test]
    fn a_network_is_excluded_by_each_of_its_addresses() {
        assert!(covers("192.0.2.7", "192.0.2.0/24", &[]));
        assert!(covers("192.0.0.0/16", "192.0.2.0/24", &[]));
        assert!(covers("192.0.2.7", "192.0.2.7", &[]));
        assert!(!covers("192.0.3.0/24", "192.0.2.0/24", &[]));
        assert!(!covers("*.example.com", "192.0.2.0/24", &[]));
    }

    #[test]
    fn the_canonical_form_is_read_as_the_same() {
        for text in ["Example.com", "192.0.2.7", "10.0.0.0/8", "*.Example.com", "::ffff:192.0.2.7", "2001:db8::/32"] {
            let one = Exclusion::parse(text).unwrap();
            assert_eq!(Exclusion::parse(&one.to_string()), Ok(one), "{text}");
        }
    }

    #[test]
    fn what_excludes_nothing_is_refused() {
        for text in
            ["", "*", "*.*", "**.example.com", "a b*", "*.exa mple.com", "%.example.com", "10.0.0.1/8", "*é.com"]
        {
            assert!(Exclusion::parse(text).is_err(), "{text}");
        }
    }
}
