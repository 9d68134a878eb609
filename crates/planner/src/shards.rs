//! Cuts a target into parts that one task examines in minutes, so that any task may be lost and done again. A network is only
//! counted: its tasks are made page by page.

use std::net::IpAddr;

use picket_domain::{Shard, TargetKind};
use picket_scanners::{FanOut, TaskShape, Tool, split_by_family};

use super::Scope;

/// The most runs of one tool in one scan, where each takes one address: a /22.
pub(super) const MOST_RUNS: u64 = 1_024;

/// The most addresses of one task.
const LARGEST: u64 = 256;
/// The fewest that a task is cut to while its target has more; from there on it is cut by ports. So the widest network under
/// the largest plan stays below 4,096 tasks a shape and part of its ports.
const SMALLEST: u64 = 16;
/// Ports × addresses of one task: 256 addresses at the 1,000 ports of the full plan.
const PROBES: u64 = 256_000;
/// The most ports of one address in one task. One number for every target, so that the same ports are cut in the same way
/// whatever the number of addresses, and scans of them can be compared.
const MOST_PORTS: u64 = PROBES / SMALLEST;

/// The shape of a tool's tasks in parts of its ports, and how many addresses each task takes: none has more than [`PROBES`]
/// of both multiplied.
pub(super) fn parts(tool: &dyn Tool, shape: &TaskShape) -> (Vec<TaskShape>, u64) {
    let parts = tool.by_ports(shape, u32::try_from(MOST_PORTS).unwrap_or(u32::MAX));
    let ports = parts.iter().map(|part| u64::from(part.ports)).max().unwrap_or(1).max(1);
    let size = match tool.fan_out() {
        FanOut::Together => (PROBES / ports).clamp(SMALLEST, LARGEST),
        FanOut::OneEach => 1,
    };
    (parts, size)
}

/// The first address of a network, and how many there are; `None` for a target whose addresses are listed.
pub(super) fn network(scope: &Scope) -> Option<(IpAddr, u64)> {
    match scope.target.kind() {
        TargetKind::Network(net) => Some((net.network(), scope.count())),
        TargetKind::Host(_) | TargetKind::Address(_) => None,
    }
}

/// What one run of a tool at a target whose addresses are listed is cut into: its shape at some of its ports, and a shard of
/// one address family. Each address × port is in exactly one. Pure; the parts of the first addresses come first.
pub(super) fn cut(scope: &Scope, tool: &dyn Tool, shape: &TaskShape) -> Vec<(TaskShape, Shard)> {
    let (parts, size) = parts(tool, shape);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let shards = scope.addresses.chunks(size).flat_map(|addresses| split_by_family(&shard(scope, addresses)));
    shards.flat_map(|shard| parts.iter().map(move |part| (part.clone(), shard.clone())).collect::<Vec<_>>()).collect()
}

/// The whole target as one.
pub(super) fn whole(scope: &Scope) -> Shard {
    shard(scope, &scope.addresses)
}

fn shard(scope: &Scope, addresses: &[IpAddr]) -> Shard {
    Shard { target: scope.target.to_string(), addresses: addresses.to_vec(), hosts: scope.hosts(addresses) }
}
