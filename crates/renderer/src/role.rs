//! The renderer as a process: reports on their message, and a sweep for those whose message or renderer was lost.

use std::time::Duration;

use futures_util::future::join_all;
use picket_blobs::Blobs;
use picket_domain::{EventBody, cause};
use picket_kit::{ChildCommand, Clock, Health, Shutdown};
use picket_queue::{Broker, Delivery, Envelope, QueueError, topology::Queue};
use picket_store::{Db, StoreError, reports, workers};

use crate::{RendererSettings, job::Jobs};

/// Reports of one sweep.
const SWEEP: i64 = 10;
/// How often the renderer tells what it knows of the broker.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What a renderer works with.
pub struct Parts {
    /// The database.
    pub db: Db,
    /// The broker.
    pub broker: Broker,
    /// Where documents are kept.
    pub blobs: Blobs,
    /// The program that typesets, which calls `child_main`.
    pub pdf: ChildCommand,
    /// The time.
    pub clock: Clock,
    /// What the internal port tells.
    pub health: Health,
}

/// Works until shutdown, and gives back what it was at. Begins without its broker and goes on while that is away: the
/// sweep finds what no message tells of.
pub async fn run(settings: RendererSettings, parts: Parts, shutdown: Shutdown) {
    let Parts { db, broker, blobs, pdf, clock, health } = parts;
    let slots = settings.slots.max(1);
    let jobs = Jobs { db: db.clone(), blobs, clock, settings, pdf };
    let slots = join_all((0..slots).map(|_| consume(&jobs, &broker, &shutdown)));
    tokio::join!(slots, sweep_all(&jobs, &shutdown), beat(&db, &broker, &health, &shutdown));
    health.set_ready(false);
}

/// Takes messages, one at a time; each is acknowledged once its report is claimed.
async fn consume(jobs: &Jobs, broker: &Broker, shutdown: &Shutdown) {
    while let Some(Err(error)) = shutdown.or(broker.find(&[Queue::Reports])).await {
        tracing::warn!(error = cause(&error), "the broker is awaited; the sweep goes on");
        shutdown.or(tokio::time::sleep(jobs.settings.sweep())).await;
    }
    let mut consumer = broker.consumer(Queue::Reports);
    while let Some(message) = shutdown.or(consumer.take()).await {
        if let Err(error) = receive(jobs, message, shutdown).await {
            tracing::debug!(error = cause(&error), "the message comes again, which is harmless");
        }
    }
}

async fn receive(jobs: &Jobs, message: Delivery, shutdown: &Shutdown) -> Result<(), QueueError> {
    let envelope = match Envelope::decode(message.body()) {
        Ok(envelope) => envelope,
        Err(error) => {
            tracing::warn!(error = cause(&error), "a message is not one of ours");
            return message.put_aside().await;
        }
    };
    let EventBody::ReportRequested(requested) = &envelope.body else {
        tracing::warn!(event = envelope.body.name(), "a message is not for the renderer");
        return message.put_aside().await;
    };
    let claimed = jobs.claim(envelope.organization_id, requested.report_id).await;
    // The lease holds the report from here on, and the sweep finds what could not be claimed.
    let told = message.ack().await;
    match claimed {
        Ok(Some(claimed)) => jobs.work(&claimed, shutdown).await,
        Ok(None) => metrics::counter!("picket_renderer_stale_messages_total").increment(1),
        Err(error) => tracing::warn!(error = cause(&error), "a report is left to the sweep"),
    }
    told
}

/// Looks for reports that no renderer is at, until shutdown.
async fn sweep_all(jobs: &Jobs, shutdown: &Shutdown) {
    while !shutdown.is_down() {
        if let Err(error) = sweep(jobs, shutdown).await {
            tracing::warn!(error = cause(&error), "a sweep failed");
        }
        shutdown.or(tokio::time::sleep(jobs.settings.sweep())).await;
    }
}

async fn sweep(jobs: &Jobs, shutdown: &Shutdown) -> Result<(), StoreError> {
    let grace = jobs.settings.grace();
    let overdue = jobs.db.operate("reports.overdue", async |tx| reports::overdue(tx, grace, SWEEP).await).await?;
    for (organization, id) in overdue {
        if shutdown.is_down() {
            break;
        }
        // Another renderer may have been quicker.
        match jobs.claim(organization, id).await {
            Ok(Some(claimed)) => {
                metrics::counter!("picket_reports_swept_total").increment(1);
                jobs.work(&claimed, shutdown).await;
            }
            Ok(None) => {}
            // One that cannot be claimed must not hold up the others.
            Err(error) => tracing::error!(error = cause(&error), report.id = %id, "a report cannot be claimed"),
        }
    }
    Ok(())
}

async fn beat(db: &Db, broker: &Broker, health: &Health, shutdown: &Shutdown) {
    while let Some(up) = shutdown.or(broker.is_up()).await {
        let told = db.operate("renderer.beat", async |tx| workers::report_broker(tx, "renderer", up).await).await;
        let down = [(!up).then_some("broker"), told.is_err().then_some("database")];
        health.report(down.into_iter().flatten().collect());
        if let Err(error) = told {
            tracing::debug!(error = cause(&error), "a heartbeat was not stored");
        }
        shutdown.or(tokio::time::sleep(HEARTBEAT)).await;
    }
}
