//! A netlink socket. It belongs to the network namespace in which it was opened, wherever it is used afterwards.

use std::{io, ops::ControlFlow, os::fd::OwnedFd, time::Duration};

use rustix::io::retry_on_intr;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
    sockopt::{Timeout, set_socket_send_buffer_size, set_socket_timeout},
};

use super::Message;

/// No answer that this crate asks for is longer; a namespace that is not ours may hold anything.
const MAX_REPLIES: usize = 16_384;

const ERROR: u16 = 2;
const DONE: u16 = 3;
/// The kernel answers while it is asked; this is only for a kernel that does not.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the kernel sent: a kind and a body.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The kind of the message.
    pub(crate) kind: u16,
    /// Its structure and attributes.
    pub(crate) body: Vec<u8>,
}

/// Asks the kernel about one network namespace.
#[derive(Debug)]
pub(crate) struct Netlink {
    fd: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Links, addresses, routes, neighbors of the namespace that the calling thread is in.
    pub(crate) fn route() -> io::Result<Self> {
        Self::open(None)
    }

    /// The packet filter of the namespace that the calling thread is in.
    pub(crate) fn filter() -> io::Result<Self> {
        Self::open(Some(netlink::NETFILTER))
    }

    fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        Self::from_socket(socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?)
    }

    /// A socket that somebody else opened, in a namespace of theirs.
    pub(crate) fn from_socket(fd: OwnedFd) -> io::Result<Self> {
        set_socket_timeout(&fd, Timeout::Recv, Some(PATIENCE))?;
        // Four thousand elements in one transaction; the kernel takes what it allows.
        set_socket_send_buffer_size(&fd, 1 << 20)?;
        Ok(Self { fd, sequence: 0 })
    }

    /// Sends one request and returns what comes before its end.
    pub(crate) fn ask(&mut self, message: Message) -> io::Result<Vec<Reply>> {
        let message = if message.is_dump() { message } else { message.acknowledged() };
        self.transact(&[message])
    }

    /// Hands each part of the answer to a dump to `each`, until that breaks off: what the kernel still has to say stays in
    /// this socket, which therefore ends with it.
    pub(crate) fn dump(
        mut self,
        message: Message,
        each: &mut dyn FnMut(Reply) -> ControlFlow<io::Result<()>>,
    ) -> io::Result<()> {
        let first = self.send(&[message])?;
        self.answers(first, 1, each)
    }

    /// Sends requests as one packet; the last of them must be one that is answered.
    pub(crate) fn transact(&mut self, messages: &[Message]) -> io::Result<Vec<Reply>> {
        let first = self.send(messages)?;
        let mut found = Vec::new();
        self.answers(first, u32::try_from(messages.len()).unwrap_or(u32::MAX), &mut |reply| {
            if found.len() >= MAX_REPLIES {
                return ControlFlow::Break(Err(io::Error::other("netlink answers too much")));
            }
            found.push(reply);
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Returns the number of the first request.
    fn send(&mut self, messages: &[Message]) -> io::Result<u32> {
        let mut bytes = Vec::new();
        let first = self.sequence.wrapping_add(1);
        for message in messages {
            self.sequence = self.sequence.wrapping_add(1);
            message.write(self.sequence, &mut bytes)?;
        }
        let sent = send(&self.fd, &bytes, SendFlags::empty())?;
        if sent != bytes.len() {
            return Err(io::Error::other("netlink took a part of a message"));
        }
        Ok(first)
    }

    /// Reads until the kernel refuses one of the requests or acknowledges one of them: only one asks for that.
    fn answers(
        &self,
        first: u32,
        count: u32,
        each: &mut dyn FnMut(Reply) -> ControlFlow<io::Result<()>>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            // A socket with a timeout does not go on by itself after an interruption (signal(7)).
            let (received, _) = retry_on_intr(|| recv(&self.fd, buffer.as_mut_slice(), RecvFlags::empty()))?;
            let mut rest = buffer.get(..received).unwrap_or_default();
            while let Some((header, body, next)) = split(rest) {
                rest = next;
                // What is left over from a request that failed before.
                if header.sequence.wrapping_sub(first) >= count {
                    continue;
                }
                match header.kind {
                    ERROR => return error_of(body),
                    DONE => return Ok(()),
                    kind => {
                        if let ControlFlow::Break(end) = each(Reply { kind, body: body.to_vec() }) {
                            return end;
                        }
                    }
                }
            }
        }
    }
}

struct Header {
    kind: u16,
    sequence: u32,
}

/// The first message of `bytes`, and what is behind it. A message longer than the buffer is cut.
fn split(bytes: &[u8]) -> Option<(Header, &[u8], &[u8])> {
    let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let length = usize::try_from(word(0)?).ok().filter(|length| *length >= 16)?;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let body = bytes.get(16..length.min(bytes.len()))?;
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((Header { kind, sequence: word(8)? }, body, next))
}

fn error_of(body: &[u8]) -> io::Result<()> {
    match body.first_chunk::<4>().map(|code| i32::from_ne_bytes(*code)) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        None => Err(io::Error::other("netlink sent an answer without a code")),
    }
}
