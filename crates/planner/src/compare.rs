//! Looks again, when a task begins, whether its names still lead where they did when they were judged. The pinned addresses
//! stay what is scanned: an answer adds none, it can only take some away. It must never run inside a transaction.

use std::{collections::BTreeMap, net::IpAddr};

use picket_domain::{PinnedHost, Shard, cause};
use picket_outbound::LookupFailed;

use super::Planner;

impl Planner {
    /// The addresses of a task that none of its names leads to any more; none when they are the target itself, or the
    /// operator's pins. Name servers that do not answer say nothing, so that an outage of theirs stops no scan.
    pub async fn gone(&self, shard: &Shard) -> Vec<IpAddr> {
        let mut pinned: BTreeMap<&str, Vec<IpAddr>> = BTreeMap::new();
        for PinnedHost { name, address } in &shard.hosts {
            pinned.entry(name).or_default().push(*address);
        }
        let (mut stays, mut gone) = (Vec::new(), Vec::new());
        for (name, addresses) in pinned {
            let leads = if self.pins.contains_key(name) { None } else { self.leads(name).await };
            for address in addresses {
                let is_there = leads.as_ref().is_none_or(|leads| leads.contains(&address));
                if is_there { stays.push(address) } else { gone.push(address) }
            }
        }
        gone.retain(|address| !stays.contains(address));
        gone
    }

    /// Where a name leads now; `None` when that is not known.
    async fn leads(&self, name: &str) -> Option<Vec<IpAddr>> {
        match self.resolver.resolve(name).await {
            Ok(addresses) => Some(addresses),
            // A name that is gone, or has more addresses than any that was judged.
            Err(LookupFailed::NoAddress | LookupFailed::TooMany | LookupFailed::TooManyAliases) => Some(Vec::new()),
            Err(error @ (LookupFailed::Timeout | LookupFailed::Failed(_))) => {
                tracing::warn!(error = cause(&error), "a name could not be compared with its pinned addresses");
                metrics::counter!("picket_names_not_compared_total").increment(1);
                None
            }
        }
    }
}

/// The shard without some of its addresses; `None` when nothing is left.
#[must_use]
pub fn without(shard: &Shard, gone: &[IpAddr]) -> Option<Shard> {
    let mut left = shard.clone();
    left.addresses.retain(|address| !gone.contains(address));
    left.hosts.retain(|host| !gone.contains(&host.address));
    (!left.addresses.is_empty()).then_some(left)
}
