//! Tries to reach something, and servers that can be reached.

use std::{
    io::{self, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, recv, sendto,
    sockopt::{Timeout, set_socket_timeout},
};

use crate::space::Space;

/// How long an answer may take on this machine. Packets that are dropped are waited for so long.
pub(crate) const PATIENCE: Duration = Duration::from_millis(700);

/// For what must be dropped: the counter tells that it was, so nobody needs to wait long for nothing.
pub(crate) const BRIEFLY: Duration = Duration::from_millis(100);

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There was an answer.
    Reached,
    /// Somebody said no.
    Refused,
    /// Nothing came back, or nothing could be sent.
    Silent,
}

/// Connects over TCP and waits for the first byte.
pub(crate) fn tcp(from: &Space, to: IpAddr, port: u16) -> Outcome {
    tcp_within(from, to, port, PATIENCE)
}

/// The same, with another patience.
pub(crate) fn tcp_within(from: &Space, to: IpAddr, port: u16, patience: Duration) -> Outcome {
    from.run(|| match TcpStream::connect_timeout(&SocketAddr::new(to, port), patience) {
        Ok(mut stream) => {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            if stream.read_exact(&mut [0]).is_ok() { Outcome::Reached } else { Outcome::Silent }
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Outcome::Refused,
        Err(_) => Outcome::Silent,
    })
}

/// Sends a datagram and waits for one.
pub(crate) fn udp(from: &Space, to: IpAddr, port: u16) -> Outcome {
    udp_within(from, to, port, PATIENCE)
}

/// The same, with another patience.
pub(crate) fn udp_within(from: &Space, to: IpAddr, port: u16, patience: Duration) -> Outcome {
    from.run(|| {
        let any: IpAddr = if to.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
        let socket = UdpSocket::bind((any, 0)).unwrap();
        socket.set_read_timeout(Some(patience)).unwrap();
        if socket.connect((to, port)).is_err() || socket.send(b"?").is_err() {
            return Outcome::Silent;
        }
        match socket.recv(&mut [0]) {
            Ok(_) => Outcome::Reached,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Outcome::Refused,
            Err(_) => Outcome::Silent,
        }
    })
}

/// Asks for an echo (ICMP) and waits for it.
pub(crate) fn ping(from: &Space, to: Ipv4Addr, patience: Duration) -> Outcome {
    from.run(|| {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)).unwrap();
        set_socket_timeout(&socket, Timeout::Recv, Some(patience)).unwrap();
        let echo = [8, 0, 0xf7, 0xfd, 0, 1, 0, 1];
        if sendto(&socket, &echo, SendFlags::empty(), &SocketAddrV4::new(to, 0)).is_err() {
            return Outcome::Silent;
        }
        loop {
            let mut packet = [0; 128];
            // A machine that asks itself sees its own question too.
            match recv(&socket, &mut packet, RecvFlags::empty()) {
                Ok(_) if packet[20] == 0 && packet[12..16] == to.octets() => return Outcome::Reached,
                Ok(_) => {}
                Err(_) => return Outcome::Silent,
            }
        }
    })
}

/// The same over IPv6.
pub(crate) fn echo6(from: &Space, to: Ipv6Addr, patience: Duration) -> Outcome {
    from.run(|| {
        // The kernel fills the checksum in.
        let socket = rustix::net::socket(AddressFamily::INET6, SocketType::RAW, Some(ipproto::ICMPV6)).unwrap();
        set_socket_timeout(&socket, Timeout::Recv, Some(patience)).unwrap();
        let echo = [128, 0, 0, 0, 0, 1, 0, 1];
        if sendto(&socket, &echo, SendFlags::empty(), &SocketAddrV6::new(to, 0, 0, 0)).is_err() {
            return Outcome::Silent;
        }
        loop {
            let mut message = [0; 128];
            match recv(&socket, &mut message, RecvFlags::empty()) {
                Ok(_) if message[0] == 129 => return Outcome::Reached,
                Ok(_) => {}
                Err(_) => return Outcome::Silent,
            }
        }
    })
}

/// Sends a message of ICMP and waits for nothing.
pub(crate) fn icmp(from: &Space, to: Ipv4Addr, kind: u8) {
    from.run(|| {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)).unwrap();
        let mut message = [0; 20];
        message[0] = kind;
        message[2] = 0xff - kind;
        message[3] = 0xff;
        sendto(&socket, &message, SendFlags::empty(), &SocketAddrV4::new(to, 0)).unwrap();
    });
}

/// Sends the beginning of a connection to port 80 in two pieces, so that the first one has no bits that tell it.
pub(crate) fn begin_in_pieces(from: &Space, source: Ipv4Addr, to: Ipv4Addr) {
    let pieces: [(u16, &[u8]); 2] =
        [(0x2000, &[0x30, 0x39, 0, 80, 0, 0, 0, 1]), (1, &[0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0])];
    from.run(|| {
        // A socket of this protocol writes its own headers; the kernel adds length and checksum.
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW)).unwrap();
        for (place, data) in pieces {
            let [high, low] = place.to_be_bytes();
            let head = [0x45, 0, 0, 0, 0, 7, high, low, 64, 6, 0, 0];
            let packet = [&head[..], &source.octets(), &to.octets(), data].concat();
            sendto(&socket, &packet, SendFlags::empty(), &SocketAddrV4::new(to, 0)).unwrap();
        }
    });
}

/// How many connections and datagrams came to a server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hits(Arc<AtomicU64>);

impl Hits {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Answers every connection and every datagram at a port of these addresses, for as long as this process lives. Returns
/// when it listens.
pub(crate) fn serve(space: &Space, addresses: &[&str], port: u16) -> Hits {
    let hits = Hits::default();
    for address in addresses {
        let at = SocketAddr::new(address.parse().unwrap(), port);
        let (of_tcp, of_udp) = (hits.clone(), hits.clone());
        space.run(|| {
            let (listener, socket) = (TcpListener::bind(at).unwrap(), UdpSocket::bind(at).unwrap());
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    of_tcp.add();
                    let _ = io::Write::write_all(&mut &stream, b"!");
                }
            });
            thread::spawn(move || {
                while let Ok((_, from)) = socket.recv_from(&mut [0; 64]) {
                    of_udp.add();
                    let _ = socket.send_to(b"!", from);
                }
            });
        });
    }
    hits
}

/// Looks until something is so; fails after ten seconds.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < end, "not within ten seconds: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
