//! Whoever flushes the packet filter of a network namespace, as `nft flush ruleset` does. By netlink, since the program may
//! not be there. The tests of whole platforms use this file too.

use std::{
    fs::{File, read_dir, read_link},
    os::fd::AsFd,
    thread,
};

use rustix::{
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

/// Whether the kernel lets a table belong to its maker and stay behind him.
pub(crate) fn guards_tables() -> bool {
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

/// The router's namespace, which has no name: a descriptor of the helper's process is all there is of it.
pub(crate) fn router(helper: u32) -> File {
    let own = read_link(format!("/proc/{helper}/ns/net")).unwrap();
    let descriptors = read_dir(format!("/proc/{helper}/fd")).unwrap().flatten().map(|entry| entry.path());
    let is_other = |link: &std::path::Path| link.to_string_lossy().starts_with("net:") && link != own;
    let found = descriptors.into_iter().find(|path| read_link(path).is_ok_and(|link| is_other(&link)));
    File::open(found.expect("the router's namespace")).unwrap()
}

/// Deletes every table of a namespace that may be deleted.
pub(crate) fn flush(namespace: impl AsFd + Sync) {
    let empty = || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        let (kind, flags) = (SocketType::RAW, SocketFlags::CLOEXEC);
        let filter = socket_with(AddressFamily::NETLINK, kind, flags, Some(netlink::NETFILTER)).unwrap();
        // A transaction of the subsystem 10 (`nfnetlink.h`); the deletion of a table (2) without a name is that of all.
        let batch = [message(0x10, 1, 10), message((10 << 8) | 2, 5, 0), message(0x11, 1, 10)].concat();
        send(&filter, &batch, SendFlags::empty()).unwrap();
        let mut answer = [0; 256];
        let (length, _) = recv(&filter, &mut answer[..], RecvFlags::empty()).unwrap();
        // An acknowledgement is an error (2) of number 0.
        assert!(length >= 20 && answer[4..6] == 2_u16.to_ne_bytes(), "{:?}", &answer[..length]);
        assert_eq!(answer[16..20], [0; 4], "the kernel flushed");
    };
    // The thread ends with the namespace that it went into.
    thread::scope(|scope| scope.spawn(empty).join().unwrap());
}

/// One message without attributes.
fn message(kind: u16, flags: u16, resource: u16) -> Vec<u8> {
    let [high, low] = resource.to_be_bytes();
    let head = [&20_u32.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &1_u32.to_ne_bytes(), &[0; 4]];
    [head.concat(), vec![0, 0, high, low]].concat()
}
