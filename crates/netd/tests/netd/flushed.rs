//! F25 of the design: somebody empties the packet filter in the middle of a run, as `nft flush ruleset` does, with which
//! Debian's service of that name begins each reload.

use std::net::IpAddr;

use picket_netd::Lease;
use rustix::process::Signal;

use crate::{
    flush::{flush, guards_tables, router},
    helper::{OTHERS, TARGET, World, grant, spawn},
    inside::inside,
    probe::{BRIEFLY, Outcome::Reached, Outcome::Silent, tcp, tcp_within, udp_within},
    space::Space,
};

/// Nobody but the target hears anything of the run.
fn nobody_else_hears(world: &World, run: &Space) {
    let before = world.others.count();
    for other in OTHERS.iter().filter(|one| !one.contains(':')) {
        let address: IpAddr = other.parse().unwrap();
        assert_eq!(tcp_within(run, address, 80, BRIEFLY), Silent, "{other}");
        assert_eq!(udp_within(run, address, 80, BRIEFLY), Silent, "{other}");
    }
    assert_eq!(world.others.count(), before, "a packet came where none may");
}

/// Whoever is not told that his network has gone still has it, and is still counted.
fn still_counted(run: &Space, lease: &mut Lease) {
    assert!(lease.dropped_packets().unwrap() > 0);
    assert_eq!(tcp(run, TARGET.parse().unwrap(), 80), Reached);
}

#[test]
fn a_run_whose_routers_filter_is_flushed_reaches_nobody_else() {
    inside("flushed::a_run_whose_routers_filter_is_flushed_reaches_nobody_else", || {
        if !guards_tables() {
            return;
        }
        let world = World::new();
        let helper = spawn(&world);
        let (run, mut lease) = world.open(&grant(&[TARGET]));
        assert_eq!(tcp(&run, TARGET.parse().unwrap(), 80), Reached);
        let router = Space::of(router(helper.0.id()));
        assert!(router.identity() != world.node.identity());
        flush(router.fd());
        nobody_else_hears(&world, &run);
        still_counted(&run, &mut lease);
    });
}

#[test]
fn a_run_on_a_node_whose_filter_is_flushed_reaches_nobody_else_and_the_node_forwards_for_nobody() {
    inside(
        "flushed::a_run_on_a_node_whose_filter_is_flushed_reaches_nobody_else_and_the_node_forwards_for_nobody",
        || {
            if !guards_tables() {
                return;
            }
            let (world, neighbor) = (World::new(), Space::new());
            world.node.wire("lan0", &neighbor, "eth0");
            world.node.ip("addr add 192.0.3.1/24 dev lan0\n link set lan0 up");
            neighbor.ip("addr add 192.0.3.2/24 dev eth0\n link set eth0 up\n route add default via 192.0.3.1");
            world.internet.ip("route add 192.0.3.0/24 via 192.0.2.2");
            let mut helper = spawn(&world);
            let (run, mut lease) = world.open(&grant(&[TARGET]));
            flush(world.node.fd());
            nobody_else_hears(&world, &run);
            assert_eq!(tcp(&neighbor, TARGET.parse().unwrap(), 80), Silent, "the node became somebody's router");
            still_counted(&run, &mut lease);
            // A dead helper's tables stay behind it, and are its successor's to remove.
            helper.signal(Signal::KILL);
            helper.0.wait().unwrap();
            drop(lease);
            let _successor = spawn(&world);
            assert_eq!(world.client().status().unwrap().slots, 0);
            let (run, _lease) = world.open(&grant(&[TARGET]));
            assert_eq!(tcp(&run, TARGET.parse().unwrap(), 80), Reached);
        },
    );
}
