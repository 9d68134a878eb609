//! What worker and helper say to each other over the socket: one line of JSON each, the first one with a descriptor. Lines
//! are bounded, and whoever sends half a line is not waited for.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    net::IpAddr,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Forward, Grant, Granted, Status};

/// The longest line: 4,096 addresses take less.
const MAX_LINE: usize = 256 * 1024;

/// What a worker says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Connect the namespace that comes with it, or the one of this connection that is wired.
    Open(Grant),
    /// Wire the namespace that comes with it ahead of a run: it reaches nobody until [`Self::Open`] follows.
    Wire,
    /// Choose stand-ins for these loopback addresses, and keep to them while the connection lasts.
    Reserve(Vec<IpAddr>),
    /// Say how many packets of this connection were dropped.
    Dropped,
    /// Say how the helper stands.
    Status,
}

/// What the helper says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It is connected.
    Granted(Granted),
    /// It is wired.
    Wired,
    /// These are the stand-ins, in the order of the request.
    Reserved(Vec<Forward>),
    /// It is not; the text says what was expected.
    Refused(String),
    /// This node will never do it; the text says what was expected.
    Forbidden(String),
    /// So many packets.
    Dropped(u64),
    /// So the helper stands.
    Status(Status),
}

/// Sends a line, with a descriptor when there is one.
pub(crate) fn send<T: Serialize>(stream: &mut UnixStream, what: &T, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    let Some(fd) = fd else { return stream.write_all(&line) };
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    let sent = sendmsg(&stream, &[IoSlice::new(&line)], &mut ancillary, SendFlags::NOSIGNAL)?;
    stream.write_all(line.get(sent..).unwrap_or_default())
}

/// Receives a line before `deadline`, and the descriptor that came with its beginning. `None` is the end.
pub(crate) fn receive<T: DeserializeOwned>(
    stream: &mut UnixStream,
    deadline: Instant,
) -> io::Result<Option<(T, Option<OwnedFd>)>> {
    let mut line = vec![0; 4096];
    wait_until(stream, deadline)?;
    let (first, fd) = receive_first(stream, &mut line)?;
    line.truncate(first);
    if first == 0 {
        return Ok(None);
    }
    let mut buffer = [0; 16 * 1024];
    while line.last() != Some(&b'\n') {
        wait_until(stream, deadline)?;
        let more = match stream.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if more == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.extend_from_slice(buffer.get(..more).unwrap_or_default());
        if line.len() > MAX_LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "expected a line of at most 256 KiB"));
        }
    }
    Ok(Some((serde_json::from_slice(&line)?, fd)))
}

fn wait_until(stream: &UnixStream, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))
}

fn receive_first(stream: &UnixStream, line: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    // A socket with a timeout does not go on by itself after an interruption (signal(7)).
    let received =
        retry_on_intr(|| recvmsg(stream, &mut [IoSliceMut::new(&mut *line)], &mut ancillary, RecvFlags::CMSG_CLOEXEC))?;
    let mut found = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            found = fds.last();
        }
    }
    Ok((received.bytes, found))
}
