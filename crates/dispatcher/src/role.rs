//! The dispatcher as a process: making deliveries, sending them, sending letters, and a sweep for what went wrong.

use std::{sync::Arc, time::Duration};

use picket_kit::{Clock, Health, Sealer, Shutdown};
use picket_outbound::HttpClient;
use picket_queue::Broker;
use picket_store::{Db, workers};
use tokio::sync::Notify;

use crate::{DispatcherSettings, Mailer, attempt::Attempter, error::cause, fan_out::FanOut, mail::Post, send::Sender};

/// How often the dispatcher tells what it knows of the broker.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What a dispatcher works with.
pub struct Parts {
    /// The database.
    pub db: Db,
    /// The broker.
    pub broker: Broker,
    /// The way out.
    pub http: HttpClient,
    /// The way to the mail server, where one is set.
    pub mailer: Option<Mailer>,
    /// Opens webhooks' secrets and letters.
    pub sealer: Sealer,
    /// The time.
    pub clock: Clock,
    /// What the internal port tells.
    pub health: Health,
    /// Where clients reach the API, for links in letters: scheme, host and port, without a slash at the end.
    pub origin: String,
}

/// Works until shutdown. Begins without its broker and goes on while that is away: the sweep makes what messages do not.
pub async fn run(settings: DispatcherSettings, parts: Parts, shutdown: Shutdown) {
    let Parts { db, broker, http, mailer, sealer, clock, health, origin } = parts;
    let due = Arc::new(Notify::new());
    let fan_out = FanOut { db: db.clone(), clock: clock.clone(), settings: settings.clone(), due: due.clone() };
    let post =
        Post { db: db.clone(), sealer: sealer.clone(), clock: clock.clone(), settings: settings.clone(), origin };
    let sender = Sender { db: db.clone(), attempter: Attempter { http, sealer, clock }, settings, due };
    tokio::join!(
        fan_out.consume(&broker, &shutdown),
        fan_out.sweep_all(&shutdown),
        sender.run(&shutdown),
        post.run(mailer, &shutdown),
        beat(&db, &broker, &health, &shutdown),
    );
    health.set_ready(false);
}

async fn beat(db: &Db, broker: &Broker, health: &Health, shutdown: &Shutdown) {
    while let Some(up) = shutdown.or(broker.is_up()).await {
        let told = db.operate("dispatcher.beat", async |tx| workers::report_broker(tx, "dispatcher", up).await).await;
        let down = [(!up).then_some("broker"), told.is_err().then_some("database")];
        health.report(down.into_iter().flatten().collect());
        if let Err(error) = told {
            tracing::debug!(error = cause(&error), "a heartbeat was not stored");
        }
        shutdown.or(tokio::time::sleep(HEARTBEAT)).await;
    }
}
