//! Packets that no connection would send: from another's address, past the routes and past the queue of the interface.
//! None of them may leave the node whatever becomes of the filter: they live for two hops, and the second is the node.

use crate::kernel::{O_CLOEXEC, O_NONBLOCK, call, close, number, plain};
use crate::probe::socket_address;

/// Whose address a lie claims: nobody's (RFC 5737).
const CLAIMED: [u8; 4] = [192, 0, 2, 99];
const HOPS: u8 = 2;
/// The run's end of its wire, and the hardware address of the other end, as `picket-netd` makes them.
const WIRE: &[u8] = b"t0";
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// Sends one packet of that kind to an IPv4 address; gives the socket that hears an answer, or a negative error.
pub fn send(kind: &[u8], address: [u8; 16], port: u16) -> isize {
    let to = first_four(&address);
    match kind {
        b"echo" => echo(address),
        b"spoof" => whole_packet(address, port, &datagram(CLAIMED, to, port)),
        b"forged" => frame(&datagram(CLAIMED, to, port)),
        _ => frame(&datagram(own_address(address, port), to, port)),
    }
}

fn first_four(bytes: &[u8]) -> [u8; 4] {
    let mut four = [0; 4];
    four.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    four
}

fn socket(family: usize, kind: usize, protocol: usize) -> isize {
    plain(number::SOCKET, [family, kind | O_NONBLOCK | O_CLOEXEC, protocol, 0, 0])
}

/// The socket when the bytes were sent, else the error; then the socket is closed.
fn sent(socket: isize, bytes: &[u8], place: &[u8]) -> isize {
    if socket < 0 {
        return socket;
    }
    let (to, length) = (place.as_ptr() as usize, place.len());
    let arguments = [socket as usize, bytes.as_ptr() as usize, bytes.len(), 0, to, length];
    // SAFETY: both are readable and as long as said.
    let answer = unsafe { call(number::SENDTO, arguments) };
    if answer < 0 {
        close(socket);
        return answer;
    }
    socket
}

/// "Are you there?"
fn echo(address: [u8; 16]) -> isize {
    let mut question = [8, 0, 0, 0, 0x50, 0x4b, 0, 1];
    let [high, low] = checksum(&question).to_be_bytes();
    (question[2], question[3]) = (high, low);
    let (place, length) = socket_address(2, address, 4, 0);
    sent(socket(2, 3, 1), &question, place.get(..length).unwrap_or_default())
}

/// A packet whose header is ours, sent along the routes. (255 is IPPROTO_RAW.)
fn whole_packet(address: [u8; 16], port: u16, packet: &[u8]) -> isize {
    let (place, length) = socket_address(2, address, 4, port);
    sent(socket(2, 3, 255), packet, place.get(..length).unwrap_or_default())
}

/// A packet put on the wire itself, past routes and queue.
fn frame(packet: &[u8]) -> isize {
    const INTERFACE_INDEX: usize = 0x8933;
    const PACKET_OPTIONS: usize = 263;
    const PAST_THE_QUEUE: usize = 20;
    let socket = socket(17, 2, 0);
    if socket < 0 {
        return socket;
    }
    let mut request = [0_u8; 40];
    request.iter_mut().zip(WIRE).for_each(|(to, from)| *to = *from);
    let on = 1_i32;
    // SAFETY: `struct ifreq` has 40 bytes; the option is one number of four bytes.
    let answers = unsafe {
        let place = request.as_mut_ptr() as usize;
        let value = (&raw const on) as usize;
        [
            call(number::IOCTL, [socket as usize, INTERFACE_INDEX, place, 0, 0, 0]),
            call(number::SETSOCKOPT, [socket as usize, PACKET_OPTIONS, PAST_THE_QUEUE, value, 4, 0]),
        ]
    };
    if let Some(error) = answers.into_iter().find(|answer| *answer < 0) {
        close(socket);
        return error;
    }
    // `struct sockaddr_ll`: the family, IPv4 as the protocol, the interface, six bytes of address.
    let mut place = [17, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0];
    let index = request.iter().skip(16).take(4);
    place.iter_mut().skip(4).zip(index).for_each(|(to, from)| *to = *from);
    place.iter_mut().skip(12).zip(ROUTER).for_each(|(to, from)| *to = from);
    sent(socket, packet, &place)
}

/// The address from which this namespace would speak to that one; zero when it would not.
fn own_address(address: [u8; 16], port: u16) -> [u8; 4] {
    let (place, length) = socket_address(2, address, 4, port);
    let socket = socket(2, 2, 0);
    let (mut name, mut size) = ([0_u8; 28], 28_u32);
    // SAFETY: an address of `length` bytes; the kernel writes at most `size` bytes of the name.
    unsafe {
        call(number::CONNECT, [socket as usize, place.as_ptr() as usize, length, 0, 0, 0]);
        let (to, size) = (name.as_mut_ptr() as usize, (&raw mut size) as usize);
        call(number::GETSOCKNAME, [socket as usize, to, size, 0, 0, 0]);
    }
    close(socket);
    first_four(name.get(4..).unwrap_or_default())
}

/// An empty datagram without a checksum of its own, which IPv4 allows.
fn datagram(source: [u8; 4], to: [u8; 4], port: u16) -> [u8; 28] {
    let [a, b, c, d] = source;
    let [e, f, g, h] = to;
    let [high, low] = port.to_be_bytes();
    let mut packet = [
        0x45, 0, 0, 28, 0, 1, 0, 0, HOPS, 17, 0, 0, a, b, c, d, e, f, g, h, 0x50, 0x4b, high, low, 0, 8, 0, 0,
    ];
    let sum = checksum(packet.get(..20).unwrap_or_default()).to_be_bytes();
    (packet[10], packet[11]) = (sum[0], sum[1]);
    packet
}

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        let [high, low] = pair else { continue };
        sum += u32::from(*high) << 8 | u32::from(*low);
    }
    sum = (sum & 0xffff) + (sum >> 16);
    !(((sum & 0xffff) + (sum >> 16)) as u16)
}
