//! What nobody may scan here, whatever else allows it: the operator's own public addresses and names, and those of whoever
//! asked not to be scanned. It is looked at when a scan is planned and once more when a task begins.

use std::net::IpAddr;

use crate::{Exclusion, ExclusionError, Shard, Target};

/// Names, patterns and ranges that are never scanned. Empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DenyList(Vec<Exclusion>);

/// An entry of the list that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("deny list entry {entry:?}: {source}")]
pub struct DenyListError {
    /// The entry.
    pub entry: String,
    /// What was expected.
    pub source: ExclusionError,
}

impl DenyList {
    /// Reads the operator's entries: a host name, a pattern such as `*.example.com`, an address, or a network of any size.
    ///
    /// # Errors
    /// The first entry that is none of these.
    pub fn parse(entries: &[String]) -> Result<Self, DenyListError> {
        let read = |entry: &String| {
            Exclusion::parse(entry.trim()).map_err(|source| DenyListError { entry: entry.clone(), source })
        };
        entries.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether it keeps the target from being scanned: by its name, by one of the addresses that it was found to have, or
    /// since it holds a denied address.
    #[must_use]
    pub fn covers(&self, target: &Target, resolved: &[IpAddr]) -> bool {
        self.0.iter().any(|one| one.covers(target, resolved))
    }

    /// Whether it keeps a task from being done. A target that cannot be read is for others to refuse.
    #[must_use]
    pub fn covers_shard(&self, shard: &Shard) -> bool {
        let holds = |one: &Exclusion, address: &IpAddr| match one {
            Exclusion::Network(net) => net.contains(address),
            Exclusion::Host(_) | Exclusion::Names(_) => false,
        };
        let covers = |one: &Exclusion| {
            shard.addresses.iter().any(|address| holds(one, address))
                || one.covers_name(&shard.target)
                || shard.hosts.iter().any(|host| one.covers_name(&host.name))
        };
        self.0.iter().any(covers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PinnedHost;

    fn list(entries: &[&str]) -> DenyList {
        DenyList::parse(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn t15_a_name_a_pattern_an_address_and_every_network_around_it_are_denied() {
        let list = list(&["picket.example.com", "*.corp.example.com", "93.184.215.14", "2606:2800::/32"]);
        let denied = |target: &str, resolved: &[&str]| {
            let resolved: Vec<IpAddr> = resolved.iter().map(|text| text.parse().unwrap()).collect();
            list.covers(&Target::parse(target).unwrap(), &resolved)
        };
        for target in
            ["picket.example.com", "db.corp.example.com", "93.184.215.14", "::ffff:93.184.215.14", "93.184.0.0/16"]
        {
            assert!(denied(target, &[]), "{target}");
        }
        assert!(denied("elsewhere.net", &["8.8.8.8", "2606:2800:21f::1"]), "another name of ours");
        assert!(!denied("example.com", &["8.8.8.8"]) && !denied("93.184.216.0/24", &[]));
        assert!(DenyList::parse(&["a b".to_owned()]).is_err() && DenyList::parse(&["10.0.0.1/8".to_owned()]).is_err());
    }

    #[test]
    fn t15_a_task_is_denied_by_each_of_its_addresses_and_names() {
        let list = list(&["93.184.215.14", "picket.example.com"]);
        let shard = |target: &str, addresses: &[&str], name: Option<&str>| Shard {
            target: target.to_owned(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            hosts: name
                .map(|name| PinnedHost { name: name.to_owned(), address: "8.8.8.8".parse().unwrap() })
                .into_iter()
                .collect(),
        };
        assert!(list.covers_shard(&shard("93.184.215.0/24", &["93.184.215.13", "93.184.215.14"], None)));
        assert!(list.covers_shard(&shard("8.8.8.8", &["8.8.8.8"], Some("picket.example.com"))));
        assert!(list.covers_shard(&shard("picket.example.com", &["8.8.8.8"], None)));
        assert!(!list.covers_shard(&shard("93.184.215.0/24", &["93.184.215.13"], Some("www.example.com"))));
    }
}
