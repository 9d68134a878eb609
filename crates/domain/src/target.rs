//! What may be asked to be scanned, in the one form that everything after this module uses. A target is parsed once, here;
//! whether it may be scanned is decided in `allow_list.rs`.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use crate::HostName;

/// The longest text of a target: the longest host name (RFC 1035 §2.3.4, as text).
pub(crate) const MAX_LENGTH_BYTES: usize = 253;
/// The widest IPv4 network, and the widest IPv6 one: 65,536 addresses each.
const MIN_PREFIX_V4: u8 = 16;
const MIN_PREFIX_V6: u8 = 112;

/// A checked target. Its text form is canonical: parsing it gives the same target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Target {
    kind: TargetKind,
}

/// What a target is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TargetKind {
    /// A host name.
    Host(HostName),
    /// One address; never an IPv4-mapped IPv6 address.
    Address(IpAddr),
    /// A network of at least two and at most 65,536 addresses, without host bits.
    Network(IpNet),
}

/// A text that is no target. Each message says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing is there.
    #[error("expected a host name, an address or a network")]
    Empty,
    /// Longer than any host name.
    #[error("expected at most 253 bytes")]
    TooLong,
    /// A URL.
    #[error("expected a host name, an address or a network, not a URL: leave out the scheme and the path")]
    Url,
    /// A character that no target has.
    #[error("expected letters, digits, hyphens and dots; {character:?} is not allowed here")]
    ForbiddenCharacter {
        /// The first such character.
        character: char,
    },
    /// A number that some program would read as an address.
    #[error(
        "expected a host name or an address in its usual form, such as 192.0.2.1 with four decimal numbers without leading zeros"
    )]
    NumericHost,
    /// Not an IPv6 address, though it has colons.
    #[error("expected an IPv6 address without brackets, port or zone, or a host name without a port")]
    InvalidAddress,
    /// Not a host name.
    #[error(
        "expected a host name: labels of 1 to 63 letters, digits and inner hyphens, without a dot at the end (IDNA 2008)"
    )]
    InvalidHost,
    /// A name that would silently become another one.
    #[error("expected a host name in its normal form; this one would be read as {reads_as:?}")]
    Rewritten {
        /// What it would have become.
        reads_as: String,
    },
    /// A label that mixes look-alike scripts.
    #[error("expected each label in one script; if you mean this very name, write {ascii:?}")]
    MixedScripts {
        /// The A-label form.
        ascii: String,
    },
    /// A name without a dot.
    #[error("expected a full host name with at least two labels")]
    SingleLabel,
    /// A name that is never public.
    #[error("expected a public host name; {name:?} is reserved for special use")]
    SpecialUse {
        /// The name.
        name: String,
    },
    /// A name below which everybody may register.
    #[error("expected a host name below a public suffix; {name:?} is a public suffix itself")]
    PublicSuffix {
        /// The name.
        name: String,
    },
    /// Not an address and a prefix length.
    #[error("expected a network as an address and a decimal prefix length, such as 192.0.2.0/24")]
    InvalidNetwork,
    /// Bits behind the prefix are set.
    #[error("expected a network without host bits; did you mean {network}?")]
    HostBits {
        /// The network that holds the given address.
        network: IpNet,
    },
    /// Too many addresses.
    #[error("expected at most 65536 addresses: a prefix of at least /16 for IPv4 and /112 for IPv6")]
    TooWide,
}

impl Target {
    /// Reads a target.
    ///
    /// # Errors
    /// What was expected of the first thing that does not fit.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        if text.is_empty() {
            return Err(TargetError::Empty);
        }
        if text.len() > MAX_LENGTH_BYTES {
            return Err(TargetError::TooLong);
        }
        if text.contains("://") {
            return Err(TargetError::Url);
        }
        if let Some(character) = text.chars().find(|&c| c.is_control() || c.is_whitespace() || "@?#%\\".contains(c)) {
            return Err(TargetError::ForbiddenCharacter { character });
        }
        let kind = if let Some((address, prefix)) = text.split_once('/') {
            parse_network(address, prefix)?
        } else if let Ok(address) = text.parse::<IpAddr>() {
            TargetKind::Address(address.to_canonical())
        } else if text.contains([':', '[', ']']) {
            return Err(TargetError::InvalidAddress);
        } else {
            TargetKind::Host(HostName::parse(text)?)
        };
        Ok(Self { kind })
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> &TargetKind {
        &self.kind
    }

    /// The host name, when it is one.
    #[must_use]
    pub const fn host(&self) -> Option<&HostName> {
        match &self.kind {
            TargetKind::Host(name) => Some(name),
            TargetKind::Address(_) | TargetKind::Network(_) => None,
        }
    }

    /// How many addresses it names itself, for a plan's limit; a host name counts as one.
    #[must_use]
    pub fn address_count(&self) -> u64 {
        match &self.kind {
            TargetKind::Host(_) | TargetKind::Address(_) => 1,
            TargetKind::Network(net) => 1_u64 << net.max_prefix_len().saturating_sub(net.prefix_len()).min(63),
        }
    }

    /// The addresses it names itself, the first and last of a network included; none for a host name, which is to be
    /// resolved.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let net = match &self.kind {
            TargetKind::Host(_) => None,
            TargetKind::Address(address) => Some(IpNet::from(*address)),
            TargetKind::Network(net) => Some(*net),
        };
        net.into_iter().flat_map(addresses_of)
    }
}

/// Every address of a network, the first and the last included.
pub(crate) fn addresses_of(net: IpNet) -> impl Iterator<Item = IpAddr> {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    };
    let is_v4 = net.addr().is_ipv4();
    (bits(net.network())..=bits(net.broadcast())).map(move |bits| match u32::try_from(bits) {
        Ok(bits) if is_v4 => IpAddr::V4(bits.into()),
        Ok(_) | Err(_) => IpAddr::V6(bits.into()),
    })
}

fn parse_network(address: &str, prefix: &str) -> Result<TargetKind, TargetError> {
    let address: IpAddr = address.parse().map_err(|_| TargetError::InvalidNetwork)?;
    let is_plain = prefix.len() <= 3 && prefix.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain || (prefix.len() > 1 && prefix.starts_with('0')) {
        return Err(TargetError::InvalidNetwork);
    }
    let prefix: u8 = prefix.parse().map_err(|_| TargetError::InvalidNetwork)?;
    let net = IpNet::new(address, prefix).map_err(|_| TargetError::InvalidNetwork)?;
    if net.trunc() != net {
        return Err(TargetError::HostBits { network: net.trunc() });
    }
    let narrowest = if net.addr().is_ipv4() { MIN_PREFIX_V4 } else { MIN_PREFIX_V6 };
    if prefix < narrowest {
        return Err(TargetError::TooWide);
    }
    let net = canonical_network(net);
    Ok(if net.prefix_len() == net.max_prefix_len() {
        TargetKind::Address(net.addr())
    } else {
        TargetKind::Network(net)
    })
}

/// A network of IPv4-mapped addresses is the IPv4 network.
pub(crate) fn canonical_network(net: IpNet) -> IpNet {
    let mapped = match net.addr().to_canonical() {
        IpAddr::V4(v4) if net.addr().is_ipv6() => {
            net.prefix_len().checked_sub(96).and_then(|prefix| Ipv4Net::new(v4, prefix).ok())
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    };
    mapped.map_or(net, IpNet::V4)
}

impl fmt::Display for Target {
    /// The canonical form; a host name as its A-label.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            TargetKind::Host(name) => name.fmt(f),
            TargetKind::Address(address) => address.fmt(f),
            TargetKind::Network(net) => net.fmt(f),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        Self::parse(&text)
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

mod place;
#[cfg(test)]
mod tests;
