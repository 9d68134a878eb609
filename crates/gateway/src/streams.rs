//! Answers that go on while a scan does (server-sent events). What they say is read from the database, behind what the client
//! has; hints, of this process or through Redis from any other, only say when to look, and without them everybody looks once
//! a second. One connection hears hints for the whole gateway. Streams are few: so many per organization, so many in all.

mod body;
mod frame;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use picket_domain::{OrganizationId, ScanId};
use picket_kit::Shutdown;
use picket_live::{Hints, Live};
use tokio::sync::watch;

pub(crate) use self::{
    body::{Feed, Read, answer},
    frame::{accepts_stream, frame, invalid_event_id, last_event_id},
};
use crate::{Caller, GatewaySettings, Problem};

/// Seconds after which a client with too many streams may ask again.
const RETRY_AFTER: u64 = 10;
/// Between two tries to hear hints.
const PAUSE: Duration = Duration::from_secs(1);
/// How long nothing is heard before the connection is tried, and how long it may take to answer.
const SILENCE: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(5);
/// While hints are heard, the timer need not be so fast.
const SLOWER: u32 = 3;

/// All streams of this gateway.
pub(crate) struct Streams {
    live: Option<Live>,
    most: u32,
    poll: Duration,
    keep_alive: Duration,
    open: Mutex<Open>,
    hears: AtomicBool,
    closing: Shutdown,
}

#[derive(Default)]
struct Open {
    all: u32,
    of: HashMap<OrganizationId, u32>,
    /// Who waits for a scan, and how many.
    waiting: HashMap<ScanId, (watch::Sender<()>, u32)>,
}

/// The place of one stream; it is free again when this is dropped.
pub(crate) struct Seat {
    streams: Arc<Streams>,
    organization: OrganizationId,
    scan: ScanId,
    woken: watch::Receiver<()>,
}

/// The gateway has as many streams as it may.
#[derive(Debug, thiserror::Error)]
#[error("expected fewer streams than gateway.streams")]
struct Full;

impl Streams {
    pub(crate) fn new(live: Option<Live>, settings: &GatewaySettings) -> Self {
        Self {
            live,
            most: settings.streams,
            poll: Duration::from_millis(u64::from(settings.stream_poll_ms.max(50))),
            keep_alive: Duration::from_millis(u64::from(settings.stream_keep_alive_ms.max(50))),
            open: Mutex::default(),
            hears: AtomicBool::new(false),
            closing: Shutdown::new(),
        }
    }

    /// A place for one more stream of the caller.
    ///
    /// # Errors
    /// [`Problem::RateLimited`] when the organization has as many as its plan allows, [`Problem::Unavailable`] when the
    /// gateway has.
    pub(crate) fn take(self: &Arc<Self>, caller: &Caller, scan: ScanId) -> Result<Seat, Problem> {
        let organization = caller.organization_id;
        let mut open = self.open();
        let own = open.of.get(&organization).copied().unwrap_or_default();
        if own >= caller.subscription.limits().streams {
            return Err(Problem::RateLimited { retry_after: RETRY_AFTER });
        }
        if open.all >= self.most {
            return Err(Problem::Unavailable(Box::new(Full)));
        }
        open.all = open.all.saturating_add(1);
        open.of.insert(organization, own.saturating_add(1));
        let (waiting, count) = open.waiting.entry(scan).or_insert_with(|| (watch::channel(()).0, 0));
        *count = count.saturating_add(1);
        let woken = waiting.subscribe();
        drop(open);
        metrics::gauge!("picket_streams").increment(1.0);
        Ok(Seat { streams: self.clone(), organization, scan, woken })
    }

    /// Says that there is something new of a scan, here and at every other gateway. Nobody waits for it.
    pub(crate) fn tell(&self, scan: ScanId) {
        self.wake(scan);
        let Some(live) = self.live.clone() else { return };
        actix_web::rt::spawn(async move {
            if let Err(error) = live.hint(&scan.to_string()).await {
                tracing::debug!(error = picket_domain::cause(&error), "a hint was lost, the timers will do");
            }
        });
    }

    /// Hears hints until shutdown, and ends every stream then.
    pub(crate) async fn listen(self: Arc<Self>, shutdown: Shutdown) {
        while let Some(heard) = shutdown.or(self.hear()).await {
            if heard.is_none() {
                break;
            }
            if shutdown.or(tokio::time::sleep(PAUSE)).await.is_none() {
                break;
            }
        }
        shutdown.wait().await;
        self.closing.stop();
    }

    /// Hears hints while the connection holds; `None` when there is no Redis.
    async fn hear(&self) -> Option<()> {
        match self.live.as_ref()?.hints().await {
            Ok(mut hints) => {
                self.hears.store(true, Ordering::Release);
                // What was stored in the meantime nobody has told.
                self.wake_all();
                self.pass_on(&mut hints).await;
                self.hears.store(false, Ordering::Release);
                tracing::info!("hints of scans are not heard any more, streams look by themselves");
            }
            Err(error) => tracing::debug!(error = picket_domain::cause(&error), "hints of scans are not heard"),
        }
        Some(())
    }

    async fn pass_on(&self, hints: &mut Hints) {
        loop {
            match tokio::time::timeout(SILENCE, hints.next()).await {
                Ok(Some(scan)) => {
                    if let Ok(scan) = scan.parse() {
                        self.wake(scan);
                    }
                }
                Ok(None) => return,
                Err(_) if hints.is_alive(PATIENCE).await => {}
                Err(_) => return,
            }
        }
    }

    fn wake(&self, scan: ScanId) {
        if let Some((waiting, _)) = self.open().waiting.get(&scan) {
            waiting.send_replace(());
        }
    }

    fn wake_all(&self) {
        for (waiting, _) in self.open().waiting.values() {
            waiting.send_replace(());
        }
    }

    /// How long a stream waits for a hint before it looks all the same.
    fn poll(&self) -> Duration {
        if self.hears.load(Ordering::Acquire) { self.poll.saturating_mul(SLOWER) } else { self.poll }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.streams.open();
        open.all = open.all.saturating_sub(1);
        let own = open.of.get(&self.organization).copied().unwrap_or_default();
        if own > 1 {
            open.of.insert(self.organization, own.saturating_sub(1));
        } else {
            open.of.remove(&self.organization);
        }
        if let Some((_, count)) = open.waiting.get_mut(&self.scan) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.waiting.remove(&self.scan);
            }
        }
        drop(open);
        metrics::gauge!("picket_streams").decrement(1.0);
    }
}
