//! Cuts a target into parts that one task examines in minutes, so that any task may be lost and done again. A network is only
//! counted: its tasks are made page by page.

use std::net::IpAddr;

use picket_domain::{Shard, TargetKind};
use picket_scanners::{FanOut, split_by_family};

use super::Scope;

/// The most runs of one tool in one scan, where each takes one address: a /22.
pub(super) const MOST_RUNS: u64 = 1_024;

/// The most addresses of one task.
const LARGEST: u64 = 256;
/// The fewest that a task is cut to, so that the widest network under the largest plan stays below 4,096 tasks a shape.
const SMALLEST: u64 = 16;
/// Ports × addresses of one task: 256 addresses at the 1,000 ports of the full plan.
const PROBES: u64 = 256_000;

/// How many addresses one task of a tool takes, which takes addresses so and examines `ports` ports of each.
pub(super) fn size(fan_out: FanOut, ports: u32) -> u64 {
    match fan_out {
        FanOut::Together => (PROBES / u64::from(ports.max(1))).clamp(SMALLEST, LARGEST),
        FanOut::OneEach => 1,
    }
}

/// The first address of a network, and how many there are; `None` for a target whose addresses are listed.
pub(super) fn network(scope: &Scope) -> Option<(IpAddr, u64)> {
    match scope.target.kind() {
        TargetKind::Network(net) => Some((net.network(), scope.count())),
        TargetKind::Host(_) | TargetKind::Address(_) => None,
    }
}

/// The shards of a target whose addresses are listed, for tasks of that size; each shard has one address family.
pub(super) fn cut(scope: &Scope, size: u64) -> Vec<Shard> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    scope.addresses.chunks(size).flat_map(|addresses| split_by_family(&shard(scope, addresses))).collect()
}

/// The whole target as one.
pub(super) fn whole(scope: &Scope) -> Shard {
    shard(scope, &scope.addresses)
}

fn shard(scope: &Scope, addresses: &[IpAddr]) -> Shard {
    Shard { target: scope.target.to_string(), addresses: addresses.to_vec(), hosts: scope.hosts(addresses) }
}
