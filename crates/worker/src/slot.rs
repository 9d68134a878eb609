//! A slot: takes one task, runs it to its end, takes the next. The broker sends it nothing while it is busy.

use std::{pin::pin, time::Duration};

use picket_domain::{ClaimedTask, EventBody, OrganizationId, SandboxLevel, TaskQueued};
use picket_kit::{Shutdown, TraceParent};
use picket_queue::{Broker, Consumer, Delivery, Envelope, topology::Queue};
use picket_store::StoreError;
use tracing::Instrument;

use crate::{execution::Execution, standing::Standing};

/// Pause when the database is away, so that the same message is not taken in a tight loop.
const PAUSE: Duration = Duration::from_secs(1);
/// A task that ends within this is acknowledged at its end, and the subscription stays. Far below the time after which
/// anybody but this worker could have the task: the claim is what holds it.
const SHORT: Duration = Duration::from_millis(100);

/// Works until it is time to stop; the task in hand is finished by then, or was interrupted.
pub(crate) async fn work(
    execution: &Execution,
    standing: &Standing,
    broker: &Broker,
    pool: picket_domain::Pool,
    slot: u32,
    stopping: &Shutdown,
) {
    let mut consumer: Consumer = broker.consumer(Queue::Tasks(pool));
    while let Some(delivery) = stopping.or(consumer.take_and_stay()).await {
        if let Err(error) = handle(execution, standing, slot, &mut consumer, delivery, stopping).await {
            // What would be sent in the pause is for others.
            consumer.leave().await;
            tracing::warn!(error = picket_domain::cause(&error), "a task was not taken");
            stopping.or(tokio::time::sleep(PAUSE)).await;
        }
    }
}

async fn handle(
    execution: &Execution,
    standing: &Standing,
    slot: u32,
    consumer: &mut Consumer,
    delivery: Delivery,
    stopping: &Shutdown,
) -> Result<(), picket_queue::QueueError> {
    let Some((envelope, message)) = read(&delivery) else {
        tracing::error!("a message is not one of ours, it was put aside");
        return delivery.put_aside().await;
    };
    let trace = envelope.traceparent.as_deref().and_then(|text| text.parse::<TraceParent>().ok());
    let span = tracing::info_span!("worker.task.run", scan.id = %message.scan_id, task.id = %message.task_id,
        tenant.id = %envelope.organization_id, trace.id = tracing::field::Empty);
    if let Some(trace) = &trace {
        span.record("trace.id", trace.trace_id());
    }
    let tenant = envelope.organization_id;
    picket_faults::point("worker::before_claim");
    let claimed = take(execution, standing, tenant, &message, stopping).instrument(span.clone()).await;
    match claimed {
        Ok(Some((task, level))) => {
            if let Some(trace) = task.traceparent.as_deref().and_then(|text| text.parse::<TraceParent>().ok()) {
                span.record("trace.id", trace.trace_id());
            }
            let run = execution.execute(slot, task, level).instrument(span);
            settle(consumer, delivery, run, stopping).await
        }
        Ok(None) => {
            metrics::counter!("picket_worker_stale_messages_total").increment(1);
            delivery.ack().await
        }
        Err(NotTaken::Unproven) => {
            tracing::warn!("the sandbox is not proven any more, the message goes back");
            consumer.leave().await;
            delivery.give_back().await
        }
        Err(NotTaken::Store(error)) => {
            tracing::warn!(error = picket_domain::cause(&error), "a claim failed, the message goes back");
            consumer.leave().await;
            delivery.give_back().await
        }
    }
}

/// Runs a task that was claimed, and acknowledges its message: at the end of one that is short, else while it runs. The
/// lease holds the task in both cases; a message that comes again is stale, no more.
async fn settle(
    consumer: &mut Consumer,
    delivery: Delivery,
    run: impl Future<Output = ()>,
    stopping: &Shutdown,
) -> Result<(), picket_queue::QueueError> {
    let mut run = pin!(run);
    if tokio::time::timeout(SHORT, &mut run).await.is_ok() {
        if stopping.is_down() {
            consumer.leave().await;
        }
        return acknowledge(delivery).await;
    }
    let leave = async {
        consumer.leave().await;
        acknowledge(delivery).await
    };
    let ((), acknowledged) = tokio::join!(run, leave);
    acknowledged
}

/// The lease holds the task already. An acknowledgement that is lost brings a stale message, no more.
async fn acknowledge(delivery: Delivery) -> Result<(), picket_queue::QueueError> {
    picket_faults::point("worker::before_ack");
    let acknowledged = delivery.ack().await;
    picket_faults::point("worker::after_ack");
    acknowledged
}

/// Why a message goes back.
enum NotTaken {
    /// The level that was there at the start is lost.
    Unproven,
    Store(StoreError),
}

/// Claims the task. Keeps the message while the database is away: giving it back again and again would wear it out, and
/// the broker would put it aside.
async fn take(
    execution: &Execution,
    standing: &Standing,
    tenant: OrganizationId,
    message: &TaskQueued,
    stopping: &Shutdown,
) -> Result<Option<(ClaimedTask, SandboxLevel)>, NotTaken> {
    loop {
        // Anew each time: while the database is away a self-test may find that the level is lost.
        let claimant = standing.claimant().ok_or(NotTaken::Unproven)?;
        match execution.claims.claim(tenant, message, claimant).await {
            Err(error) if error.is_outage() && !stopping.is_down() => {
                tracing::warn!(error = picket_domain::cause(&error), "a claim waits for the database");
                stopping.or(tokio::time::sleep(PAUSE)).await;
            }
            Err(error) => return Err(NotTaken::Store(error)),
            Ok(task) => return Ok(task.map(|task| (task, claimant.level))),
        }
    }
}

fn read(delivery: &Delivery) -> Option<(Envelope, TaskQueued)> {
    let envelope = Envelope::decode(delivery.body()).ok()?;
    match &envelope.body {
        EventBody::TaskQueued(task) => {
            let task = task.clone();
            Some((envelope, task))
        }
        EventBody::ScanCreated(_)
        | EventBody::ScanStarted(_)
        | EventBody::ScanPaused(_)
        | EventBody::ScanResumed(_)
        | EventBody::ScanCompleted(_)
        | EventBody::ScanFailed(_)
        | EventBody::ScanCancelled(_)
        | EventBody::FindingFound(_)
        | EventBody::ReportGenerated(_)
        | EventBody::ReportRequested(_) => None,
    }
}
