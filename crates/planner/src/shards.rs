//! Cuts a target into parts that one task examines in minutes, so that any task may be lost and done again.

use std::net::IpAddr;

use picket_domain::Shard;
use picket_scanners::{FanOut, split_by_family};

use super::Scope;

/// The most runs of one tool in one scan, where each takes one address: a /22.
pub(super) const MOST_RUNS: usize = 1_024;

/// The most addresses of one task.
const LARGEST: usize = 256;
/// The fewest that a task is cut to, so that the widest network under the largest plan stays below 4,096 tasks a shape.
const SMALLEST: usize = 16;
/// Ports × addresses of one task: 256 addresses at the 1,000 ports of the full plan.
const PROBES: usize = 256_000;

/// The shards of a target for a tool that takes addresses so and examines `ports` ports of each; each shard has one address
/// family.
pub(super) fn cut(scope: &Scope, fan_out: FanOut, ports: u32) -> Vec<Shard> {
    let ports = usize::try_from(ports).unwrap_or(usize::MAX).max(1);
    let size = match fan_out {
        FanOut::Together => (PROBES / ports).clamp(SMALLEST, LARGEST),
        FanOut::OneEach => 1,
    };
    scope.addresses.chunks(size).flat_map(|addresses| split_by_family(&shard(scope, addresses))).collect()
}

/// The whole target as one.
pub(super) fn whole(scope: &Scope) -> Shard {
    shard(scope, &scope.addresses)
}

fn shard(scope: &Scope, addresses: &[IpAddr]) -> Shard {
    Shard { target: scope.target.to_string(), addresses: addresses.to_vec(), hosts: scope.hosts(addresses) }
}
