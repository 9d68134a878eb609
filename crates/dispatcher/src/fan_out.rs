//! From an event to its deliveries: on its message, or, when that was lost, on the sweep.

use std::sync::Arc;

use picket_domain::{Event, EventId, OrganizationId, WebhookEvent};
use picket_kit::{Clock, Shutdown, TraceParent};
use picket_queue::{Broker, Delivery, Envelope, topology::Queue};
use picket_store::{
    Db, Tx,
    deliveries::{self, NewDelivery, facts, lease},
    webhooks,
};
use tokio::sync::Notify;

use crate::{DispatchError, DispatcherSettings, error::cause, payload};

/// Events of one sweep.
const SWEEP: i64 = 100;

/// Makes deliveries; cheap to clone.
#[derive(Clone)]
pub(crate) struct FanOut {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) settings: DispatcherSettings,
    /// Tells the sender that something is due.
    pub(crate) due: Arc<Notify>,
}

impl FanOut {
    /// Takes messages until shutdown; each is acknowledged once its deliveries are committed.
    pub(crate) async fn consume(&self, broker: &Broker, shutdown: &Shutdown) {
        while let Some(Err(error)) = shutdown.or(broker.find(&[Queue::Deliveries])).await {
            tracing::warn!(error = cause(&error), "the broker is awaited; the sweep goes on");
            shutdown.or(tokio::time::sleep(self.settings.sweep())).await;
        }
        let mut consumer = broker.consumer(Queue::Deliveries);
        while let Some(message) = shutdown.or(consumer.take()).await {
            self.receive(message).await;
        }
    }

    async fn receive(&self, message: Delivery) {
        let told = match Envelope::decode(message.body()) {
            Ok(envelope) => match self.fan_out(envelope.organization_id, envelope.id).await {
                Ok(_) => message.ack().await,
                Err(error) => {
                    // The event is in the database: the sweep makes its deliveries when that is possible again.
                    let id = tracing::field::display(envelope.id);
                    tracing::warn!(error = cause(&error), event.id = id, "left to the sweep");
                    message.ack().await
                }
            },
            Err(error) => {
                tracing::warn!(error = cause(&error), "a message is not one of ours");
                message.put_aside().await
            }
        };
        if let Err(error) = told {
            tracing::debug!(error = cause(&error), "the message comes again, which is harmless");
        }
    }

    /// Sweeps until shutdown: events without deliveries, and claims that nobody holds any more.
    pub(crate) async fn sweep_all(&self, shutdown: &Shutdown) {
        while !shutdown.is_down() {
            match self.sweep().await {
                Ok(swept) if swept >= SWEEP => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(error = cause(&error), "a sweep failed"),
            }
            shutdown.or(tokio::time::sleep(self.settings.sweep())).await;
        }
    }

    async fn sweep(&self) -> Result<i64, DispatchError> {
        if picket_faults::without("dispatcher::sweep") {
            return Ok(0);
        }
        let back = self.db.operate("deliveries.repair", async |tx| lease::repair(tx).await).await?;
        if back > 0 {
            tracing::warn!(deliveries = back, "deliveries of a dispatcher that died are sent again");
            self.due.notify_one();
        }
        let grace = self.settings.grace();
        let overdue = self
            .db
            .operate("deliveries.overdue", async |tx| deliveries::overdue_events(tx, grace, SWEEP).await)
            .await?;
        let mut done = 0_i64;
        for (organization, id) in overdue {
            match self.fan_out(organization, id).await {
                Ok(_) => done = done.saturating_add(1),
                // One event that cannot be told must not hold back the others.
                Err(error) => {
                    let id = tracing::field::display(id);
                    tracing::error!(error = cause(&error), event.id = id, "an event has no deliveries");
                }
            }
        }
        metrics::counter!("picket_deliveries_swept_total").increment(u64::try_from(done).unwrap_or_default());
        Ok(done)
    }

    /// Makes the deliveries of one event, once, however often it is called. Says how many were made.
    #[tracing::instrument(
        name = "dispatcher.event.fan_out", skip_all,
        fields(event.id = %id, tenant.id = %organization, trace.id = tracing::field::Empty),
        err(level = "debug")
    )]
    pub(crate) async fn fan_out(&self, organization: OrganizationId, id: EventId) -> Result<u64, DispatchError> {
        let now = self.clock.now();
        picket_faults::point("dispatcher::before_fan_out");
        let span = tracing::Span::current();
        let made = self
            .db
            .run("deliveries.fan_out", organization, async |tx| {
                let Some(event) = deliveries::lock_event(tx, id).await? else { return Ok::<_, DispatchError>(0) };
                if let Some(trace) = event.traceparent.as_deref().and_then(|text| text.parse::<TraceParent>().ok()) {
                    span.record("trace.id", trace.trace_id());
                }
                let wanted = wanted(tx, &event).await?;
                Ok(deliveries::fan_out(tx, &event, &wanted, now).await?)
            })
            .await?;
        picket_faults::point("dispatcher::after_fan_out");
        if made > 0 {
            metrics::counter!("picket_deliveries_made_total").increment(made);
            tracing::debug!(deliveries = made, "an event was fanned out");
            self.due.notify_one();
        }
        Ok(made)
    }
}

/// A delivery for each webhook that hears of the event.
async fn wanted(tx: &Tx<'_>, event: &Event) -> Result<Vec<NewDelivery>, DispatchError> {
    let listeners = webhooks::listening(tx, event).await?;
    if listeners.is_empty() {
        return Ok(Vec::new());
    }
    // What it is about may be deleted by now; then there is nothing left to tell.
    let Some(facts) = facts::find(tx, event).await? else { return Ok(Vec::new()) };
    let mut wanted = Vec::with_capacity(listeners.len());
    for listener in listeners {
        let Some(name) = WebhookEvent::of(listener.dialect, &event.body) else { continue };
        if let Some(body) = payload::body(listener.dialect, event, &facts)? {
            wanted.push(NewDelivery { webhook_id: listener.id, event: name.name(), body });
        }
    }
    Ok(wanted)
}
