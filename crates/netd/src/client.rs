//! The worker's end: asks the helper over its unix socket. While the connection is open, so is the door.

use std::{
    io,
    net::IpAddr,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::{
    Forward, Grant, Granted, NetdError, Status,
    wire::{Answer, Request, receive, send},
};

/// How long the helper may take to say how it stands.
const GLANCE: Duration = Duration::from_millis(900);
/// How long it may take to connect a run: usually some milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the helper. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetdClient {
    socket: PathBuf,
}

/// A connected namespace. Dropping it closes the door at once; so does the death of this process.
#[derive(Debug)]
pub struct Lease {
    /// What was granted.
    pub granted: Granted,
    stream: UnixStream,
}

/// A namespace that is wired and reaches nobody yet. Dropping it takes the wire away; so does the helper, when nothing comes
/// for two minutes.
#[derive(Debug)]
pub struct Wire(UnixStream);

/// Stand-ins that stay those of their loopback addresses until this is dropped. Nothing is reached through them without a
/// [`Lease`].
#[derive(Debug)]
pub struct Reservation {
    /// One per loopback address of the request, in its order.
    pub forwards: Vec<Forward>,
    _stream: UnixStream,
}

impl NetdClient {
    /// A client of the helper that listens at `socket`.
    #[must_use]
    pub const fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// How the helper stands. Blocks for less than a second.
    ///
    /// # Errors
    /// [`NetdError::Unreachable`], and [`NetdError::Refused`] when this process may not ask.
    pub fn status(&self) -> Result<Status, NetdError> {
        let answer = ask(&mut self.dial(GLANCE)?, &Request::Status, None, GLANCE)?;
        if let Answer::Status(status) = answer { Ok(status) } else { Err(unexpected(answer)) }
    }

    /// Connects the network namespace `netns` as `grant` says. The namespace must be empty. Blocks for some milliseconds.
    ///
    /// # Errors
    /// Every one of [`NetdError`].
    pub fn open(&self, netns: BorrowedFd<'_>, grant: &Grant) -> Result<Lease, NetdError> {
        let mut stream = self.dial(PATIENCE)?;
        let answer = ask(&mut stream, &Request::Open(grant.clone()), Some(netns), PATIENCE)?;
        if let Answer::Granted(granted) = answer { Ok(Lease { granted, stream }) } else { Err(unexpected(answer)) }
    }

    /// Wires the network namespace `netns` ahead of a run, so that [`Wire::open`] takes less. The namespace must be empty.
    /// Blocks for some milliseconds.
    ///
    /// # Errors
    /// Every one of [`NetdError`]; refused also when half of the helper's slots wait already.
    pub fn wire(&self, netns: BorrowedFd<'_>) -> Result<Wire, NetdError> {
        let mut stream = self.dial(PATIENCE)?;
        let answer = ask(&mut stream, &Request::Wire, Some(netns), PATIENCE)?;
        if let Answer::Wired = answer { Ok(Wire(stream)) } else { Err(unexpected(answer)) }
    }

    /// Learns under which addresses runs will see these loopback addresses, before a command line is made of them.
    ///
    /// # Errors
    /// Every one of [`NetdError`].
    pub fn reserve(&self, loopback: &[IpAddr]) -> Result<Reservation, NetdError> {
        let mut stream = self.dial(PATIENCE)?;
        let answer = ask(&mut stream, &Request::Reserve(loopback.to_vec()), None, PATIENCE)?;
        if let Answer::Reserved(forwards) = answer {
            Ok(Reservation { forwards, _stream: stream })
        } else {
            Err(unexpected(answer))
        }
    }

    fn dial(&self, patience: Duration) -> Result<UnixStream, NetdError> {
        let stream = UnixStream::connect(&self.socket).map_err(NetdError::Unreachable)?;
        stream.set_write_timeout(Some(patience)).map_err(NetdError::Unreachable)?;
        Ok(stream)
    }
}

impl Wire {
    /// Connects what is wired as `grant` says. Blocks for a millisecond.
    ///
    /// # Errors
    /// Every one of [`NetdError`].
    pub fn open(self, grant: &Grant) -> Result<Lease, NetdError> {
        let Self(mut stream) = self;
        let answer = ask(&mut stream, &Request::Open(grant.clone()), None, PATIENCE)?;
        if let Answer::Granted(granted) = answer { Ok(Lease { granted, stream }) } else { Err(unexpected(answer)) }
    }
}

/// It becomes readable when the helper has taken the wire away.
impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Lease {
    /// Packets of this run that were dropped so far.
    ///
    /// # Errors
    /// [`NetdError::Unreachable`], also when the time to live is over.
    pub fn dropped_packets(&mut self) -> Result<u64, NetdError> {
        let answer = ask(&mut self.stream, &Request::Dropped, None, PATIENCE)?;
        if let Answer::Dropped(packets) = answer { Ok(packets) } else { Err(unexpected(answer)) }
    }
}

/// It becomes readable when the helper closes the door by itself: it never says anything unasked.
impl AsFd for Lease {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn ask(
    stream: &mut UnixStream,
    request: &Request,
    fd: Option<BorrowedFd<'_>>,
    patience: Duration,
) -> Result<Answer, NetdError> {
    // A helper that refuses at once may have closed its end before everything is said: its answer counts.
    let said = send(stream, request, fd);
    let answer = receive(stream, Instant::now() + patience);
    match (answer, said) {
        (Ok(Some((answer, _))), _) => Ok(answer),
        (_, Err(error)) | (Err(error), Ok(())) => Err(NetdError::Unreachable(error)),
        (Ok(None), Ok(())) => Err(NetdError::Unreachable(io::ErrorKind::UnexpectedEof.into())),
    }
}

fn unexpected(answer: Answer) -> NetdError {
    match answer {
        Answer::Refused(text) => NetdError::Refused(text),
        Answer::Forbidden(text) => NetdError::Forbidden(text),
        Answer::Granted(_) | Answer::Wired | Answer::Reserved(_) | Answer::Dropped(_) | Answer::Status(_) => {
            let other = "the network helper answered something else";
            NetdError::Unreachable(io::Error::new(io::ErrorKind::InvalidData, other))
        }
    }
}
