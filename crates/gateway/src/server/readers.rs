//! Clients that take a long answer a little at a time. Whoever takes nothing at all the kernel gives up (`TCP_USER_TIMEOUT`); a
//! client that takes a segment now and then would hold its connection and our memory for hours. So a long answer is handed
//! over in slices, and a connection whose client takes not one slice in the time that it may take nothing is shut down.
//!
//! A stream of events is no one answer and is never watched, nor is the time in which the answer waits for us.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    io,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::{
    HttpRequest,
    body::{BodySize, BoxBody, MessageBody},
    dev::Extensions,
    http::header::{CONTENT_TYPE, HeaderMap},
    rt::net::TcpStream,
};
use bytes::Bytes;

/// What is handed over at a time, in bytes, and what the kernel may hold of an answer beyond what is on its way: what it
/// took is not what the client took.
pub(super) const SLICE: u32 = 16 * 1024;
/// Answers up to so many bytes are handed over at once: the server's own buffer holds as much.
const SHORT: u64 = 64 * 1024;
/// The kind of a stream of events.
const EVENTS: &[u8] = b"text/event-stream";
/// How often it is looked at who takes something, within the time for a slice.
const LOOKS: u32 = 4;

thread_local! {
    /// The connections of this thread; it alone serves them.
    static READERS: RefCell<Vec<Weak<Reader>>> = const { RefCell::new(Vec::new()) };
}

/// The client of one connection.
pub(crate) struct Reader {
    /// A second handle of the connection, for shutting it down.
    socket: OwnedFd,
    /// Since when the client could have taken a slice; nothing while there is none.
    owes_since: Cell<Option<Instant>>,
}

/// An answer that is handed over in slices.
struct Slices {
    size: BodySize,
    rest: Rest,
    reader: Rc<Reader>,
}

enum Rest {
    Whole(Bytes),
    /// What is left of its last part, and the rest of it.
    Stream(Bytes, BoxBody),
}

/// Knows a new connection, and watches those of its thread from the first one on.
pub(super) fn meet(io: &dyn Any, data: &mut Extensions, patience: Duration) {
    match second_handle(io) {
        Ok(socket) => {
            let reader = Rc::new(Reader { socket, owes_since: Cell::new(None) });
            READERS.with_borrow_mut(|readers| {
                if readers.is_empty() {
                    actix_web::rt::spawn(watch(patience));
                }
                readers.push(Rc::downgrade(&reader));
            });
            data.insert(reader);
        }
        Err(error) => {
            tracing::warn!(error = picket_domain::cause(&error), "a connection is not watched for a slow reader");
        }
    }
}

fn second_handle(io: &dyn Any) -> io::Result<OwnedFd> {
    let plain = io.downcast_ref::<TcpStream>();
    let stream = plain.or_else(|| io.downcast_ref::<TlsStream<TcpStream>>().map(|tls| tls.get_ref().0));
    let stream = stream.ok_or_else(|| io::Error::other("expected a connection over TCP"))?;
    stream.as_fd().try_clone_to_owned()
}

/// Looks at this thread's connections as long as there are any.
async fn watch(patience: Duration) {
    let pause = patience.checked_div(LOOKS).unwrap_or(patience).max(Duration::from_millis(1));
    loop {
        actix_web::rt::time::sleep(pause).await;
        let is_over = READERS.with_borrow_mut(|readers| {
            let now = Instant::now();
            readers.retain(|reader| reader.upgrade().inspect(|reader| reader.judge(now, patience)).is_some());
            readers.is_empty()
        });
        if is_over {
            return;
        }
    }
}

impl Reader {
    fn judge(&self, now: Instant, patience: Duration) {
        let is_late = self.owes_since.get().is_some_and(|since| now.saturating_duration_since(since) > patience);
        if !is_late {
            return;
        }
        self.owes_since.set(None);
        metrics::counter!("picket_slow_readers_total").increment(1);
        // The server hears of it at its next write and lets the answer go.
        if let Err(error) = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both) {
            tracing::debug!(error = picket_domain::cause(&error), "a slow reader had gone");
        }
    }
}

/// The answer as the request's client may take it.
pub(crate) fn paced(request: &HttpRequest, headers: &HeaderMap, body: BoxBody) -> BoxBody {
    let size = body.size();
    match request.conn_data::<Rc<Reader>>() {
        Some(reader) if is_long(size, headers) => {
            let rest = body.try_into_bytes().map_or_else(|body| Rest::Stream(Bytes::new(), body), Rest::Whole);
            BoxBody::new(Slices { size, rest, reader: reader.clone() })
        }
        _ => body,
    }
}

/// Whether it is one answer, of more than the buffers hold.
fn is_long(size: BodySize, headers: &HeaderMap) -> bool {
    let is_long = match size {
        BodySize::None => false,
        BodySize::Sized(bytes) => bytes > SHORT,
        BodySize::Stream => true,
    };
    let is_of_events = || headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(EVENTS));
    is_long && !is_of_events()
}

impl MessageBody for Slices {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let next = match &mut self.rest {
            Rest::Whole(rest) if rest.is_empty() => Poll::Ready(None),
            Rest::Whole(rest) => Poll::Ready(Some(Ok(slice(rest)))),
            Rest::Stream(left, _) if !left.is_empty() => Poll::Ready(Some(Ok(slice(left)))),
            // A part may be a whole answer: what compresses gives out what it has.
            Rest::Stream(left, stream) => Pin::new(stream).poll_next(cx).map_ok(|part| {
                *left = part;
                slice(left)
            }),
        };
        // Asked for more, so what there was is taken; while the answer waits for us its client owes nothing.
        self.reader.owes_since.set(matches!(next, Poll::Ready(Some(Ok(_)))).then(Instant::now));
        next
    }
}

fn slice(rest: &mut Bytes) -> Bytes {
    let most = usize::try_from(SLICE).unwrap_or(usize::MAX);
    rest.split_to(most.min(rest.len()))
}

impl Drop for Slices {
    fn drop(&mut self) {
        self.reader.owes_since.set(None);
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn long_answers_are_watched_and_streams_of_events_are_not() {
        let headers = |kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            headers
        };
        for (size, kind, expected) in [
            (BodySize::Sized(SHORT + 1), "application/json", true),
            (BodySize::Stream, "application/pdf", true),
            (BodySize::Sized(SHORT), "application/json", false),
            (BodySize::None, "application/json", false),
            (BodySize::Stream, "text/event-stream", false),
            (BodySize::Stream, "text/event-stream; charset=utf-8", false),
        ] {
            assert_eq!(is_long(size, &headers(kind)), expected, "{size:?} {kind}");
        }
        assert!(is_long(BodySize::Stream, &HeaderMap::new()));
    }
}
