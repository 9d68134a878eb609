//! F25 of the design: somebody empties the packet filter in the middle of a run, as `nft flush ruleset` does, with which
//! Debian's service of that name begins each reload. By netlink, since the program may not be there.

use std::{
    fs::{File, read_dir, read_link},
    net::IpAddr,
};

use picket_netd::Lease;
use rustix::{
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with},
    process::Signal,
};

use crate::{
    helper::{OTHERS, TARGET, World, grant, spawn},
    inside::inside,
    probe::{BRIEFLY, Outcome::Reached, Outcome::Silent, tcp, tcp_within, udp_within},
    space::Space,
};

/// `NFT_MSG_DELTABLE` of nf_tables (`linux/netfilter/nf_tables.h`), and the marks around a transaction (`nfnetlink.h`).
const DELETE_TABLE: u16 = (10 << 8) | 2;
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;
const REQUEST: u16 = 1;
const ACK: u16 = 4;

/// One message without attributes: of every family and, without a name, of every table.
fn message(kind: u16, flags: u16, resource: u16) -> Vec<u8> {
    let [high, low] = resource.to_be_bytes();
    let head = [&20_u32.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &1_u32.to_ne_bytes(), &[0; 4]];
    [head.concat(), vec![0, 0, high, low]].concat()
}

/// Deletes every table of a namespace that may be deleted.
fn flush(space: &Space) {
    space.run(|| {
        let flags = SocketFlags::CLOEXEC;
        let filter = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::NETFILTER)).unwrap();
        let batch =
            [message(BEGIN, REQUEST, 10), message(DELETE_TABLE, REQUEST | ACK, 0), message(END, REQUEST, 10)].concat();
        send(&filter, &batch, SendFlags::empty()).unwrap();
        let mut answer = [0; 256];
        let (length, _) = recv(&filter, &mut answer[..], RecvFlags::empty()).unwrap();
        // An acknowledgement is an error (2) of number 0.
        assert!(length >= 20 && answer[4..6] == 2_u16.to_ne_bytes(), "{:?}", &answer[..length]);
        assert_eq!(i32::from_ne_bytes(answer[16..20].try_into().unwrap()), 0, "the kernel flushed");
    });
}

/// The router's namespace, which has no name: a descriptor of the helper's process is all there is of it.
fn router(helper: u32, node: &Space) -> Space {
    let folder = format!("/proc/{helper}/fd");
    let own = read_link(format!("/proc/{helper}/ns/net")).unwrap();
    let found = read_dir(&folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| read_link(path).is_ok_and(|link| link.to_string_lossy().starts_with("net:") && link != own));
    let space = Space::of(File::open(found.expect("the router's namespace")).unwrap());
    assert!(space.identity() != node.identity());
    space
}

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

/// Whether the kernel lets a table belong to its maker and stay behind him.
fn guards_tables() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|one: char| !one.is_ascii_digit()).map(|number| number.parse().unwrap_or(0_u32));
    let guards = (numbers.next(), numbers.next()) >= (Some(6), Some(9));
    if !guards {
        println!(
            "skipped: before Linux 6.9 nothing helps against whoever flushes the packet filter, this is {release}"
        );
    }
    guards
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
        flush(&router(helper.0.id(), &world.node));
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
            flush(&world.node);
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
