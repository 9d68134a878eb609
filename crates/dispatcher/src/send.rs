//! The send loop: claims what is due, sends it, ends the claim. Bounded in all and per webhook.

use std::{sync::Arc, time::Duration};

use picket_domain::{ClaimedDelivery, DeliveryFence, Verdict};
use picket_kit::{Shutdown, TraceParent};
use picket_store::{
    Db, StoreError,
    deliveries::lease::{self, Finished},
};
use tokio::sync::Notify;
use tracing::Instrument;

use crate::{DispatcherSettings, attempt::Attempter, error::cause, under_way::UnderWay};

/// How often the end of a claim is written again while the database is away; within the lease.
const FINISH_TRIES: u32 = 5;

/// Sends deliveries.
pub(crate) struct Sender {
    pub(crate) db: Db,
    pub(crate) attempter: Attempter,
    pub(crate) settings: DispatcherSettings,
    pub(crate) due: Arc<Notify>,
}

impl Sender {
    /// Sends until shutdown; then what is under way may end within the drain time, and the rest is given back.
    pub(crate) async fn run(&self, shutdown: &Shutdown) {
        let mut under_way = UnderWay::default();
        while !shutdown.is_down() {
            let claimed = self.claim(&under_way).await;
            let found = !claimed.is_empty();
            for delivery in claimed {
                let (fence, send) = self.send(delivery);
                under_way.start(fence, send);
            }
            metrics::gauge!("picket_deliveries_in_flight")
                .set(f64::from(u32::try_from(under_way.count()).unwrap_or(u32::MAX)));
            // Whoever found something looks again at once: there may be more.
            if !found {
                self.wait(&mut under_way, shutdown).await;
            }
            under_way.forget_ended();
        }
        self.drain(under_way).await;
    }

    async fn claim(&self, under_way: &UnderWay<DeliveryFence>) -> Vec<ClaimedDelivery> {
        let free = self.settings.in_flight.saturating_sub(under_way.count());
        let (Ok(free), Ok(per_webhook)) = (i64::try_from(free), i64::try_from(self.settings.in_flight_per_webhook))
        else {
            return Vec::new();
        };
        if free == 0 {
            return Vec::new();
        }
        let claimed = self.db.operate("deliveries.claim", async |tx| lease::claim(tx, free, per_webhook).await).await;
        claimed.unwrap_or_else(|error| {
            tracing::warn!(error = cause(&error), "due deliveries could not be claimed");
            Vec::new()
        })
    }

    /// Until something is due, something ended, the timer, or the end.
    async fn wait(&self, under_way: &mut UnderWay<DeliveryFence>, shutdown: &Shutdown) {
        tokio::select! {
            () = shutdown.wait() => {}
            () = self.due.notified() => {}
            () = tokio::time::sleep(self.settings.poll()) => {}
            () = under_way.ended() => {}
        }
    }

    fn send(&self, delivery: ClaimedDelivery) -> (DeliveryFence, impl Future<Output = ()> + Send + use<>) {
        let (db, attempter, fence) = (self.db.clone(), self.attempter.clone(), delivery.fence);
        let span = span(&delivery);
        let send = async move {
            picket_faults::point("dispatcher::before_send");
            let finished = attempter.attempt(&delivery).await;
            picket_faults::point("dispatcher::before_finish");
            finish(&db, &attempter, &delivery, &finished).await;
        };
        (fence, send.instrument(span))
    }

    async fn drain(&self, under_way: UnderWay<DeliveryFence>) {
        let held = under_way.drain(self.settings.drain()).await;
        if held.is_empty() {
            return;
        }
        match self.db.operate("deliveries.release", async |tx| lease::release(tx, &held).await).await {
            Ok(released) => tracing::info!(deliveries = released, "given back, to be sent again"),
            Err(error) => {
                tracing::warn!(error = cause(&error), "left to the sweep, once their leases end");
            }
        }
    }
}

/// The span of one send; continues the trace of the request that caused the event.
fn span(delivery: &ClaimedDelivery) -> tracing::Span {
    let span = tracing::info_span!(
        "dispatcher.delivery.send",
        delivery.id = %delivery.fence.delivery_id,
        event.id = %delivery.event_id,
        webhook.id = %delivery.webhook_id,
        tenant.id = %delivery.organization_id,
        trace.id = tracing::field::Empty,
    );
    if let Some(trace) = delivery.traceparent.as_deref().and_then(|text| text.parse::<TraceParent>().ok()) {
        span.record("trace.id", trace.trace_id());
    }
    span
}

/// Writes how a claim ended. When that cannot be written, the lease ends by itself and the event is sent once more.
async fn finish(db: &Db, attempter: &Attempter, delivery: &ClaimedDelivery, finished: &Finished) {
    for attempt in 1..=FINISH_TRIES {
        let now = attempter.clock.now();
        let written = db
            .run("deliveries.finish", delivery.organization_id, async |tx| {
                lease::finish(tx, delivery, finished, now).await
            })
            .await;
        match written {
            Ok(true) => return tell(delivery, finished),
            Ok(false) => {
                let id = tracing::field::display(delivery.fence.delivery_id);
                tracing::warn!(delivery.id = id, "an attempt outlived its claim and does not count");
                return;
            }
            Err(error) if attempt < FINISH_TRIES && StoreError::is_outage(&error) => {
                tokio::time::sleep(Duration::from_millis(200) * attempt).await;
            }
            Err(error) => {
                tracing::error!(error = cause(&error), "the end of an attempt could not be stored");
                return;
            }
        }
    }
}

fn tell(delivery: &ClaimedDelivery, finished: &Finished) {
    let outcome = match finished.verdict {
        Verdict::Delivered => "delivered",
        Verdict::Retry { .. } => "retry",
        Verdict::Exhausted => "exhausted",
        Verdict::Gone => "gone",
    };
    metrics::counter!("picket_delivery_attempts_total", "outcome" => outcome).increment(1);
    if matches!(finished.verdict, Verdict::Exhausted | Verdict::Gone) {
        // The alarm that an event did not reach a webhook: alert on the counter's labels, look here for which.
        tracing::error!(
            delivery.id = %delivery.fence.delivery_id,
            webhook.id = %delivery.webhook_id,
            event.id = %delivery.event_id,
            tenant.id = %delivery.organization_id,
            outcome,
            "a delivery ended without being taken"
        );
    }
}
