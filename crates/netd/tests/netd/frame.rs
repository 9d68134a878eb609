//! Frames as a tool with raw sockets can send them: past routing, past the namespace's own packet filter, with any source.
#![expect(unsafe_code, reason = "packet sockets have no safe form")]

use std::{
    mem::size_of,
    net::{Ipv4Addr, Ipv6Addr},
};

use crate::space::Space;

const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 1];
const RUN: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A datagram to port 80.
pub(crate) fn udp(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    datagram(source, destination, &[])
}

/// A datagram to port 80, with options of IP.
pub(crate) fn datagram(source: Ipv4Addr, destination: Ipv4Addr, options: &[u8]) -> Vec<u8> {
    let words = u8::try_from(5 + options.len() / 4).unwrap();
    let mut ip = vec![0x40 | words, 0, 0, words * 4 + 9, 0, 1, 0, 0, 64, 17, 0, 0];
    ip.extend_from_slice(&source.octets());
    ip.extend_from_slice(&destination.octets());
    ip.extend_from_slice(options);
    let sum: u32 = ip.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap();
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    // Without a checksum of its own, which IPv4 allows.
    ip.extend_from_slice(&[0x30, 0x39, 0, 80, 0, 9, 0, 0, b'?']);
    [&ROUTER[..], &RUN, &[0x08, 0x00], &ip].concat()
}

/// "I have this address", unasked.
pub(crate) fn arp(claimed: Ipv4Addr, asked: Ipv4Addr) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, 2];
    let body = [&head[..], &RUN, &claimed.octets(), &ROUTER, &asked.octets()].concat();
    [&ROUTER[..], &RUN, &[0x08, 0x06], &body].concat()
}

/// A datagram to port 80 behind `headers`, the first of which is of the kind `next`.
pub(crate) fn udp6(source: Ipv6Addr, destination: Ipv6Addr, next: u8, headers: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0x30, 0x39, 0, 80, 0, 9, 0, 0, b'?'];
    let checksum = sum6(source, destination, 17, &datagram);
    datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
    packet6(source, destination, next, 64, &[headers, &datagram].concat())
}

/// "Who has `asked`?", from the address `source`.
pub(crate) fn solicitation(source: Ipv6Addr, asked: Ipv6Addr) -> Vec<u8> {
    let mut message = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &asked.octets(), &[1, 1], &RUN].concat();
    let checksum = sum6(source, asked, 58, &message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    packet6(source, asked, 58, 255, &message)
}

fn packet6(source: Ipv6Addr, destination: Ipv6Addr, next: u8, hops: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap();
    let head = [0x60, 0, 0, 0, 0, length, next, hops];
    [&ROUTER[..], &RUN, &[0x86, 0xdd], &head, &source.octets(), &destination.octets(), body].concat()
}

fn sum6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, body: &[u8]) -> u16 {
    let length = u8::try_from(body.len()).unwrap();
    let all = [&source.octets()[..], &destination.octets(), &[0, length, 0, protocol], body].concat();
    let pair = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let sum: u32 = all.chunks(2).map(pair).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()
}

/// Sends a frame by the interface `t0`.
pub(crate) fn send(from: &Space, frame: &[u8], bypass: bool) {
    from.run(|| {
        // SAFETY: plain system calls on values of this stack; the lengths are theirs, and the descriptor is closed.
        unsafe {
            let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0);
            assert!(fd >= 0, "a packet socket");
            let on: libc::c_int = bypass.into();
            let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap();
            assert_eq!(libc::setsockopt(fd, libc::SOL_PACKET, 20, (&raw const on).cast(), length), 0);
            let mut to: libc::sockaddr_ll = std::mem::zeroed();
            to.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
            to.sll_ifindex = i32::try_from(libc::if_nametoindex(c"t0".as_ptr())).unwrap();
            to.sll_halen = 6;
            let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap();
            let sent = libc::sendto(fd, frame.as_ptr().cast(), frame.len(), 0, (&raw const to).cast(), length);
            assert_eq!(sent, isize::try_from(frame.len()).unwrap());
            libc::close(fd);
        }
    });
}
