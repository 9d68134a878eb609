//! Who may be scanned without proof of ownership: the operator's list, and the decision it leads to
//! (`docs/contract.md` §14). Every address of a target is looked at; one bad address spoils the whole target.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    HostName, Target, TargetError, TargetKind,
    address::{BLOCKS, classify},
    target::{addresses_of, canonical_network},
};

/// Names and ranges that the operator allows. Empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    names: Vec<HostName>,
    parents: Vec<HostName>,
    ranges: Vec<IpNet>,
}

/// An entry of the list that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("allow list entry {entry:?}: {source}")]
pub struct AllowListError {
    /// The entry.
    pub entry: String,
    /// What was expected.
    pub source: TargetError,
}

/// What is decided about one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetVerdict {
    /// The operator's list covers it.
    Allowed,
    /// It leads to an address that nobody may scan unless the operator lists it.
    Forbidden {
        /// The first such address.
        address: IpAddr,
    },
    /// It is public, but nothing says that the client may scan it.
    NotAuthorized,
}

impl AllowList {
    /// Reads the operator's entries: `example.com` (that name alone), `*.example.com` or `.example.com` (every name below
    /// it), an address, or a network of any size.
    ///
    /// # Errors
    /// The first entry that is none of these.
    pub fn parse(entries: &[String]) -> Result<Self, AllowListError> {
        let mut list = Self::default();
        for entry in entries {
            list.add(entry.trim()).map_err(|source| AllowListError { entry: entry.clone(), source })?;
        }
        Ok(list)
    }

    fn add(&mut self, entry: &str) -> Result<(), TargetError> {
        if let Some(parent) = entry.strip_prefix("*.").or_else(|| entry.strip_prefix('.')) {
            self.parents.push(HostName::parse_any(parent)?);
        } else if let Ok(address) = entry.parse::<IpAddr>() {
            self.ranges.push(IpNet::from(address.to_canonical()));
        } else if entry.contains('/') {
            let net: IpNet = entry.parse().map_err(|_| TargetError::InvalidNetwork)?;
            if net.trunc() != net {
                return Err(TargetError::HostBits { network: net.trunc() });
            }
            self.ranges.push(canonical_network(net));
        } else {
            self.names.push(HostName::parse(entry)?);
        }
        Ok(())
    }

    /// The same list with further ranges.
    #[must_use]
    pub fn with_ranges(&self, ranges: &[IpNet]) -> Self {
        let mut list = self.clone();
        list.ranges.extend(ranges.iter().copied().map(canonical_network));
        list
    }

    /// Whether nothing is allowed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.names.is_empty() && self.parents.is_empty() && self.ranges.is_empty()
    }

    /// Whether the name is listed, itself or below a listed parent.
    #[must_use]
    pub fn allows_name(&self, name: &HostName) -> bool {
        self.names.contains(name) || self.parents.iter().any(|parent| name.is_below(parent))
    }

    /// Whether a listed range covers the address. A range opens addresses of a forbidden class only when it lies inside
    /// that very block: `0.0.0.0/0` means the public Internet and not the machine itself, and `169.254.0.0/16` does not
    /// open the metadata service.
    #[must_use]
    pub fn allows_address(&self, address: IpAddr) -> bool {
        self.allows_network(IpNet::from(address.to_canonical()))
    }

    /// The same for a whole network, which has to be inside one listed range.
    #[must_use]
    pub fn allows_network(&self, net: IpNet) -> bool {
        self.ranges.iter().filter(|range| range.contains(&net)).any(|range| {
            // Blocks that the network lies in, as far as no smaller one takes all of it, and blocks inside the network.
            special_blocks(net).all(|block| block.contains(range))
        })
    }
}

/// The registry blocks that say what the addresses of `net` are: the most specific one around it, and all inside it.
fn special_blocks(net: IpNet) -> impl Iterator<Item = IpNet> {
    let around = BLOCKS.iter().map(|block| block.net).find(|block| block.contains(&net));
    let inside = BLOCKS.iter().map(|block| block.net).filter(move |block| net.contains(block) && *block != net);
    around.into_iter().chain(inside)
}

/// Decides about `target`, whose addresses are `resolved` when it is a host name (for others they are not looked at).
/// `pinned_by_operator` says that the addresses came from the operator's settings and not from DNS: only then does a listed
/// name open an address of a forbidden class, else whoever rules the name's zone would rule our intranet.
/// A name without addresses is not authorized: tell the client before that it does not resolve.
#[must_use]
pub fn judge(target: &Target, resolved: &[IpAddr], pinned_by_operator: bool, list: &AllowList) -> TargetVerdict {
    match target.kind() {
        TargetKind::Host(name) => judge_host(list.allows_name(name), resolved, pinned_by_operator, list),
        TargetKind::Address(address) => judge_network(IpNet::from(*address), list),
        TargetKind::Network(net) => judge_network(*net, list),
    }
}

fn judge_host(is_listed: bool, resolved: &[IpAddr], pinned_by_operator: bool, list: &AllowList) -> TargetVerdict {
    let opens = |address: &IpAddr| list.allows_address(*address);
    let is_refused =
        |address: &&IpAddr| classify(**address).is_forbidden() && !opens(address) && !(is_listed && pinned_by_operator);
    if let Some(address) = resolved.iter().find(is_refused) {
        return TargetVerdict::Forbidden { address: *address };
    }
    let is_authorized = is_listed || resolved.iter().all(opens);
    if is_authorized && !resolved.is_empty() { TargetVerdict::Allowed } else { TargetVerdict::NotAuthorized }
}

fn judge_network(net: IpNet, list: &AllowList) -> TargetVerdict {
    if list.allows_network(net) {
        return TargetVerdict::Allowed;
    }
    match first_forbidden(net, list) {
        Some(address) => TargetVerdict::Forbidden { address },
        None => TargetVerdict::NotAuthorized,
    }
}

/// The first address of the network that is forbidden and that no range opens; every single one is classified.
fn first_forbidden(net: IpNet, list: &AllowList) -> Option<IpAddr> {
    addresses_of(net).find(|address| classify(*address).is_forbidden() && !list.allows_address(*address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> AllowList {
        AllowList::parse(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn verdict(target: &str, resolved: &[&str], pinned: bool, entries: &[&str]) -> TargetVerdict {
        let resolved: Vec<IpAddr> = resolved.iter().map(|text| text.parse().unwrap()).collect();
        judge(&Target::parse(target).unwrap(), &resolved, pinned, &list(entries))
    }

    fn forbidden(address: &str) -> TargetVerdict {
        TargetVerdict::Forbidden { address: address.parse().unwrap() }
    }

    #[test]
    fn an_empty_list_allows_nothing() {
        assert!(list(&[]).is_empty());
        assert_eq!(verdict("example.com", &["93.184.215.14"], false, &[]), TargetVerdict::NotAuthorized);
        assert_eq!(verdict("8.8.8.8", &[], false, &[]), TargetVerdict::NotAuthorized);
        assert_eq!(verdict("127.0.0.1", &[], false, &[]), forbidden("127.0.0.1"));
    }

    #[test]
    fn names_are_listed_exactly_or_by_their_parent() {
        let list = list(&["example.com", "*.example.net", ".example.org"]);
        let allows = |name: &str| list.allows_name(Target::parse(name).unwrap().host().unwrap());
        for name in ["example.com", "EXAMPLE.com", "a.example.net", "a.b.example.net", "www.example.org"] {
            assert!(allows(name), "{name}");
        }
        for name in ["www.example.com", "example.net", "example.org", "badexample.net", "example.com.evil.net"] {
            assert!(!allows(name), "{name}");
        }
    }

    #[test]
    fn entries_that_mean_nothing_are_refused() {
        for entry in [
            "",
            "*",
            "*.",
            "localhost",
            "co.uk",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "127.1",
            "https://example.com",
            "a b.com",
        ] {
            assert!(AllowList::parse(&[entry.to_owned()]).is_err(), "{entry:?}");
        }
    }

    #[test]
    fn a_listed_address_or_range_is_allowed() {
        assert_eq!(verdict("127.0.0.1", &[], false, &["127.0.0.0/8"]), TargetVerdict::Allowed);
        assert_eq!(verdict("::ffff:127.0.0.1", &[], false, &["127.0.0.1"]), TargetVerdict::Allowed);
        assert_eq!(verdict("10.1.0.0/24", &[], false, &["10.0.0.0/8"]), TargetVerdict::Allowed);
        assert_eq!(verdict("8.8.8.8", &[], false, &["8.8.8.0/24"]), TargetVerdict::Allowed);
        assert_eq!(verdict("fd00::1", &[], false, &["fd00::/16"]), TargetVerdict::Allowed);
    }

    #[test]
    fn a_network_has_to_be_wholly_inside_a_listed_range() {
        assert_eq!(verdict("8.8.8.0/23", &[], false, &["8.8.8.0/24"]), TargetVerdict::NotAuthorized);
        assert_eq!(verdict("10.0.0.0/23", &[], false, &["10.0.0.0/24"]), forbidden("10.0.1.0"));
        assert_eq!(verdict("168.63.129.0/24", &[], false, &["0.0.0.0/0"]), forbidden("168.63.129.16"));
        assert_eq!(verdict("9.255.0.0/16", &[], false, &[]), TargetVerdict::NotAuthorized);
    }

    #[test]
    fn t6_a_wide_range_opens_no_special_block() {
        for target in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "168.63.129.16", "192.168.0.0/16"] {
            assert!(matches!(verdict(target, &[], false, &["0.0.0.0/0"]), TargetVerdict::Forbidden { .. }), "{target}");
        }
        assert_eq!(verdict("8.8.8.8", &[], false, &["0.0.0.0/0"]), TargetVerdict::Allowed);
        assert_eq!(verdict("2606:4700::1", &[], false, &["::/0"]), TargetVerdict::Allowed);
        assert_eq!(verdict("::1", &[], false, &["::/0"]), forbidden("::1"));
        assert_eq!(verdict("fd00:ec2::254", &[], false, &["fc00::/7"]), forbidden("fd00:ec2::254"));
    }

    #[test]
    fn t5_the_metadata_service_needs_an_entry_of_its_own() {
        assert_eq!(verdict("169.254.169.254", &[], false, &["169.254.0.0/16"]), forbidden("169.254.169.254"));
        assert_eq!(verdict("169.254.1.1", &[], false, &["169.254.0.0/16"]), TargetVerdict::Allowed);
        assert_eq!(verdict("169.254.169.254", &[], false, &["169.254.169.254"]), TargetVerdict::Allowed);
        assert_eq!(
            verdict("rebind.example.com", &["169.254.169.254"], false, &["*.example.com"]),
            forbidden("169.254.169.254")
        );
    }

    #[test]
    fn t7_a_listed_name_opens_the_intranet_only_when_the_operator_pinned_it() {
        assert_eq!(verdict("example.com", &["127.0.0.1"], false, &["example.com"]), forbidden("127.0.0.1"));
        assert_eq!(verdict("example.com", &["127.0.0.1"], true, &["example.com"]), TargetVerdict::Allowed);
        assert_eq!(verdict("example.com", &["127.0.0.1"], true, &[]), forbidden("127.0.0.1"));
        assert_eq!(
            verdict("example.com", &["127.0.0.1"], false, &["example.com", "127.0.0.1"]),
            TargetVerdict::Allowed
        );
    }

    #[test]
    fn t7_one_bad_address_among_many_spoils_the_target() {
        let addresses = ["93.184.215.14", "2606:4700::1", "::ffff:10.0.0.1", "1.1.1.1"];
        assert_eq!(verdict("example.com", &addresses, false, &["example.com"]), forbidden("::ffff:10.0.0.1"));
        assert_eq!(
            verdict("example.com", &["93.184.215.14", "1.1.1.1"], false, &["example.com"]),
            TargetVerdict::Allowed
        );
    }

    #[test]
    fn a_name_is_authorized_by_its_range_only_when_every_address_is_inside() {
        assert_eq!(verdict("example.com", &["8.8.8.8"], false, &["8.8.8.0/24"]), TargetVerdict::Allowed);
        assert_eq!(
            verdict("example.com", &["8.8.8.8", "8.8.4.4"], false, &["8.8.8.0/24"]),
            TargetVerdict::NotAuthorized
        );
        assert_eq!(verdict("example.com", &[], false, &["example.com"]), TargetVerdict::NotAuthorized);
    }

    #[test]
    fn the_widest_network_is_classified_address_by_address() {
        assert_eq!(verdict("169.253.0.0/16", &[], false, &[]), TargetVerdict::NotAuthorized);
        assert_eq!(verdict("168.63.0.0/16", &[], false, &[]), forbidden("168.63.129.16"));
    }
}
