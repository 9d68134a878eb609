//! Tasks of a plan that are not made yet: one tool over a range of addresses, of which each task takes the next few. How many
//! there will be is known without making one, so that a plan over a wide network is never held as a list of its addresses.
//! Pure arithmetic: the tasks of a range look at each of its addresses exactly once, however it is divided into pages.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Needs, Shard};

/// The most tasks of a page.
const PAGE_TASKS: u64 = 64;
/// The most addresses of a page, which always has one task.
const PAGE_ADDRESSES: u64 = 8_192;

/// Tasks of one tool at the addresses of a network that are next to each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaterTasks {
    /// The tool's slug.
    pub tool: String,
    /// What a worker must have proven.
    pub needs: Needs,
    /// Canonical parameters.
    pub params: Value,
    /// What is planned from their results, as in [`crate::NewTask::opens`].
    pub opens: Vec<String>,
    /// The target, canonical.
    pub target: String,
    /// The first address.
    pub first: IpAddr,
    /// How many addresses, with the first.
    pub addresses: u64,
    /// How many of them one task examines; the last one has the rest.
    pub size: u64,
}

impl LaterTasks {
    /// How many tasks they will be.
    #[must_use]
    pub const fn tasks(&self) -> u64 {
        self.addresses.div_ceil(self.step())
    }

    /// How many tasks there are of each size: (tasks, addresses of each).
    #[must_use]
    pub const fn sizes(&self) -> [(u64, u64); 2] {
        let step = self.step();
        let rest = self.addresses.saturating_sub((self.tasks().saturating_sub(1)).saturating_mul(step));
        [(self.tasks().saturating_sub(1), step), (if self.addresses == 0 { 0 } else { 1 }, rest)]
    }

    const fn step(&self) -> u64 {
        if self.size == 0 { 1 } else { self.size }
    }

    /// The first `tasks` of them, and those behind; `None` for a part without any.
    #[must_use]
    pub fn split(&self, tasks: u64) -> (Option<Self>, Option<Self>) {
        let place = tasks.saturating_mul(self.step()).min(self.addresses);
        let part = |from: u64, addresses: u64| {
            let first = plus(self.first, from)?;
            (addresses > 0).then(|| Self { first, addresses, ..self.clone() })
        };
        (part(0, place), part(place, self.addresses.saturating_sub(place)))
    }

    /// What each of them examines, in their order. No name is pinned to an address of a network.
    pub fn shards(&self) -> impl Iterator<Item = Shard> {
        let step = self.step();
        (0..self.tasks()).map(move |task| {
            let from = task.saturating_mul(step);
            let to = from.saturating_add(step).min(self.addresses);
            let addresses = (from..to).filter_map(|place| plus(self.first, place)).collect();
            Shard { target: self.target.clone(), addresses, hosts: Vec::new() }
        })
    }

    /// Whether one of them examines the address.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        let place = bits(address).checked_sub(bits(self.first));
        address.is_ipv4() == self.first.is_ipv4() && place.is_some_and(|place| place < u128::from(self.addresses))
    }

    /// Takes `next` in when it goes on where these end, of the same tool; else gives it back.
    #[must_use]
    pub fn join(&mut self, next: Self) -> Option<Self> {
        let is_whole = self.addresses.checked_rem(self.step()) == Some(0);
        let addresses = self.addresses.saturating_add(next.addresses);
        let is_next = plus(self.first, self.addresses) == Some(next.first);
        let as_ours = Self { first: self.first, addresses: self.addresses, ..next.clone() };
        if !is_whole || !is_next || as_ours != *self {
            return Some(next);
        }
        self.addresses = addresses;
        None
    }

    /// A page from the front of these, at least one task where there is one, and what is left.
    #[must_use]
    pub fn page(all: Vec<Self>) -> (Vec<Self>, Vec<Self>) {
        let (mut page, mut left) = (Vec::new(), Vec::new());
        let (mut tasks, mut addresses) = (PAGE_TASKS, PAGE_ADDRESSES);
        for one in all {
            let fits = addresses.checked_div(one.step()).unwrap_or(0).max(u64::from(page.is_empty())).min(tasks);
            // Whatever is behind something that is left keeps its place.
            let (now, later) = if left.is_empty() { one.split(fits) } else { (None, Some(one)) };
            if let Some(now) = now {
                tasks = tasks.saturating_sub(now.tasks());
                addresses = addresses.saturating_sub(now.addresses);
                page.push(now);
            }
            left.extend(later);
        }
        (page, left)
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The address that many places behind; `None` behind the last one.
fn plus(address: IpAddr, places: u64) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => Some(IpAddr::V4(u32::from(v4).checked_add(u32::try_from(places).ok()?)?.into())),
        IpAddr::V6(v6) => Some(IpAddr::V6(u128::from(v6).checked_add(u128::from(places))?.into())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Pool, SandboxLevel};

    fn range(first: &str, addresses: u64, size: u64) -> LaterTasks {
        LaterTasks {
            tool: "nmap".to_owned(),
            needs: Needs { pool: Pool::Net, level: SandboxLevel::L2 },
            params: Value::Null,
            opens: Vec::new(),
            target: "192.0.2.0/24".to_owned(),
            first: first.parse().unwrap(),
            addresses,
            size,
        }
    }

    fn looked_at(all: &[LaterTasks]) -> Vec<u128> {
        all.iter().flat_map(LaterTasks::shards).flat_map(|shard| shard.addresses).map(bits).collect()
    }

    proptest! {
        #[test]
        fn pages_look_at_each_address_of_each_range_once_and_are_bounded(
            ranges in proptest::collection::vec((any::<bool>(), 1_u64..70_000, 1_u64..600), 1..4),
        ) {
            let first = |is_v6| if is_v6 { "2001:db8::" } else { "10.0.0.0" };
            let all: Vec<_> = ranges.iter().map(|&(is_v6, addresses, size)| range(first(is_v6), addresses, size)).collect();
            let (mut left, mut seen, mut tasks) = (all.clone(), Vec::new(), 0);
            while !left.is_empty() {
                let (page, rest) = LaterTasks::page(left);
                let made: u64 = page.iter().map(LaterTasks::tasks).sum();
                let shards: Vec<_> = page.iter().flat_map(LaterTasks::shards).collect();
                prop_assert_eq!(u64::try_from(shards.len()).unwrap(), made);
                prop_assert!((1..=PAGE_TASKS).contains(&made));
                prop_assert!(page.iter().map(|one| one.addresses).sum::<u64>() <= PAGE_ADDRESSES.max(600));
                for shard in &shards {
                    prop_assert!(!shard.addresses.is_empty() && shard.addresses.len() <= 600);
                }
                seen.extend(looked_at(&page));
                tasks += made;
                left = rest;
            }
            prop_assert_eq!(tasks, all.iter().map(LaterTasks::tasks).sum::<u64>());
            let expected: Vec<u128> = all
                .iter()
                .flat_map(|one| (0..one.addresses).map(|place| bits(one.first) + u128::from(place)))
                .collect();
            prop_assert_eq!(seen, expected, "in their order, none twice and none left out");
        }

        #[test]
        fn parts_join_to_what_they_were_cut_from(addresses in 1_u64..5_000, size in 1_u64..300, at in 0_u64..40) {
            let whole = range("192.0.2.0", addresses, size);
            let (front, behind) = whole.split(at);
            let counted: u64 = whole.sizes().iter().map(|(tasks, each)| tasks * each).sum();
            prop_assert_eq!(counted, addresses);
            match (front, behind) {
                (Some(mut front), Some(behind)) => {
                    prop_assert_eq!(front.tasks(), at);
                    prop_assert!(!front.holds(behind.first) && behind.holds(behind.first));
                    prop_assert!(front.join(behind).is_none());
                    prop_assert_eq!(front, whole);
                }
                (front, behind) => prop_assert_eq!(front.or(behind), Some(whole)),
            }
        }
    }

    #[test]
    fn what_is_not_next_or_of_another_tool_does_not_join() {
        let mut one = range("192.0.2.0", 16, 8);
        for other in [range("192.0.2.17", 8, 8), range("192.0.2.16", 8, 4), range("2001:db8::10", 8, 8)] {
            assert!(one.join(other).is_some());
        }
        assert!(one.join(LaterTasks { tool: "ffuf".to_owned(), ..range("192.0.2.16", 8, 8) }).is_some());
        assert!(
            range("192.0.2.0", 15, 8).join(range("192.0.2.15", 8, 8)).is_some(),
            "a task with a rest is the last one"
        );
        assert!(one.join(range("192.0.2.16", 3, 8)).is_none());
        assert_eq!((one.tasks(), one.holds("192.0.2.18".parse().unwrap())), (3, true));
    }

    #[test]
    fn a_range_at_the_end_of_all_addresses_does_not_go_round() {
        let last = range("255.255.255.0", 256, 100);
        assert_eq!(last.shards().map(|shard| shard.addresses.len()).collect::<Vec<_>>(), [100, 100, 56]);
        assert_eq!(last.split(3).1, None);
    }
}
