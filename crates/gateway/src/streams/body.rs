//! The body of one stream. It is asked for its next part only while the client takes what it was given, so a slow client
//! costs one part and no more; and before each part is read, whether the caller may still have it is looked at again.

use std::time::{Duration, Instant};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Data},
};
use futures_util::stream;
use picket_domain::{Permission, ScanId};

use super::Seat;
use crate::{App, Caller, Problem, RequestContext, front::HeadOnly, identify::Held};

/// How often a stream looks whether it may go on, so that a right that is lost ends it within a second.
const TICK: Duration = Duration::from_millis(250);
/// Between two reads that hints ask for.
const SHORTEST: Duration = Duration::from_millis(100);
/// When to come back after the stream broke, in the form of the protocol.
const RETRY: &[u8] = b"retry: 2000\n\n";
const KEEP_ALIVE: &[u8] = b":\n\n";

/// What a stream tells.
pub(crate) trait Feed: 'static {
    /// What there is behind what was read before.
    async fn read(&mut self, app: &App) -> Result<Read, Problem>;
}

/// What one look gave.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Events in their form; a bounded number.
    pub(crate) text: String,
    /// Whether there may be more already.
    pub(crate) is_more: bool,
    /// Whether there will never be more.
    pub(crate) is_over: bool,
}

struct Body<F> {
    app: Data<App>,
    held: Held,
    seat: Seat,
    feed: F,
    /// Whether to look at once.
    is_due: bool,
    is_over: bool,
    read_at: Instant,
    sent_at: Instant,
    has_begun: bool,
}

/// Answers with a stream of the feed about this scan.
///
/// # Errors
/// When there are too many streams.
pub(crate) fn answer<F: Feed>(
    app: &Data<App>,
    caller: &Caller,
    context: RequestContext,
    request: &HttpRequest,
    (scan, feed): (ScanId, F),
) -> Result<HttpResponse, Problem> {
    let mut answer = HttpResponse::Ok();
    answer
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store, no-transform"))
        // Neither our own encoder nor a proxy may hold events back.
        .insert_header((header::CONTENT_ENCODING, "identity"))
        .insert_header(("x-accel-buffering", "no"));
    if request.extensions().contains::<HeadOnly>() {
        return Ok(answer.finish());
    }
    let held = Held::new(app, request.headers(), context, caller, Permission::ScansRead)?;
    let (seat, now) = (app.streams.take(caller, scan)?, Instant::now());
    let body = Body {
        app: app.clone(),
        held,
        seat,
        feed,
        is_due: true,
        is_over: false,
        read_at: now,
        sent_at: now,
        has_begun: false,
    };
    Ok(answer.streaming(stream::unfold(body, |mut body| async move {
        let part = body.next().await?;
        Some((Ok::<_, Problem>(part), body))
    })))
}

impl<F: Feed> Body<F> {
    /// The next part; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.has_begun, true) {
            return Some(Bytes::from_static(RETRY));
        }
        loop {
            if self.is_over || self.app.streams.closing.is_down() {
                return None;
            }
            if let Err(problem) = self.held.check(&self.app).await {
                tracing::debug!(error = %problem, "a stream ends with its caller's rights");
                return None;
            }
            if self.is_due || self.read_at.elapsed() >= self.app.streams.poll() {
                let text = self.read().await?;
                if !text.is_empty() {
                    self.sent_at = Instant::now();
                    return Some(text.into());
                }
            } else if self.sent_at.elapsed() >= self.app.streams.keep_alive {
                self.sent_at = Instant::now();
                return Some(Bytes::from_static(KEEP_ALIVE));
            } else {
                self.rest().await;
            }
        }
    }

    async fn read(&mut self) -> Option<String> {
        // What is told from now on may not be in what is read.
        self.seat.woken.mark_unchanged();
        self.read_at = Instant::now();
        match self.feed.read(&self.app).await {
            Ok(Read { text, is_more, is_over }) => {
                (self.is_due, self.is_over) = (is_more, is_over);
                Some(text)
            }
            Err(problem) => {
                // The client comes back and goes on behind what it has.
                tracing::warn!(error = picket_domain::cause(&problem), "a stream breaks off");
                None
            }
        }
    }

    /// Until something may have changed; a moment at most.
    async fn rest(&mut self) {
        let closing = self.app.streams.closing.clone();
        let woken = async {
            if self.seat.woken.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = woken => {
                self.is_due = true;
                tokio::time::sleep(SHORTEST.saturating_sub(self.read_at.elapsed())).await;
            }
            () = closing.wait() => {}
            () = tokio::time::sleep(TICK.min(self.app.streams.keep_alive)) => {}
        }
    }
}
