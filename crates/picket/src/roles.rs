//! What each role is made of, from the settings.

use std::time::Duration;

use picket_blobs::{BlobSettings, Blobs};
use picket_dispatcher::Mailer;
use picket_domain::{AllowList, DenyList};
use picket_gateway::{AppParts, Gateway};
use picket_kit::{ChildCommand, Clock, Health, Sealer, Shutdown};
use picket_live::Live;
use picket_outbound::{HttpClient, OutboundSettings, Resolver};
use picket_planner::{Planner, Prover};
use picket_queue::{Broker, BrokerSettings};
use picket_store::{Db, DbSettings, StoreError};
use secrecy::ExposeSecret;

use crate::{CommandError, Settings};

/// The parts that roles share in one process.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) db: Db,
    pub(crate) clock: Clock,
}

impl Parts {
    /// Makes what every role needs; nothing connects yet.
    pub(crate) fn new(settings: Settings) -> Result<Self, CommandError> {
        let db = Self::database(&settings)?;
        Ok(Self { settings, db, clock: Clock::system() })
    }

    fn database(settings: &Settings) -> Result<Db, CommandError> {
        let pool = DbSettings {
            url: settings.database.url.expose_secret().to_owned(),
            max_connections: settings.database.max_connections,
            wait: Duration::from_secs(5),
        };
        let tls = settings.database.secured().map_err(StoreError::from)?;
        Ok(Db::secured(&pool, &tls)?)
    }

    fn broker(&self, name: &str) -> Result<Broker, CommandError> {
        let section = self.settings.broker.as_ref().ok_or(CommandError::Missing("broker.url"))?;
        Ok(Broker::new(BrokerSettings {
            url: section.url_of(name).expose_secret().to_owned(),
            prefix: section.prefix.clone(),
            name: name.to_owned(),
        }))
    }

    pub(crate) fn sealer(&self) -> Result<Sealer, CommandError> {
        let key = self.settings.sealing_key.as_ref().ok_or(CommandError::Missing("sealing_key"))?;
        Ok(Sealer::with(key, &self.settings.previous_sealing_keys)?)
    }

    pub(crate) fn blobs(&self) -> Result<Blobs, CommandError> {
        let default = BlobSettings::Folder { path: self.settings.state_dir.join("blobs") };
        Ok(Blobs::open(self.settings.blobs.as_ref().unwrap_or(&default))?)
    }

    /// A gateway that listens already.
    pub(crate) fn gateway(&self) -> Result<Gateway, CommandError> {
        // A pool of its own: its connections live on the threads that serve requests, and end with them.
        let db = Self::database(&self.settings)?;
        let live = self.settings.redis.as_ref().map(Live::new).transpose()?;
        let parts = AppParts {
            db,
            clock: self.clock.clone(),
            sealer: self.sealer()?,
            blobs: self.blobs()?,
            outbound: self.settings.outbound.clone(),
            live,
            picture_decoder: child("decode-picture")?,
        };
        Ok(Gateway::bind(parts, self.settings.gateway.clone())?)
    }

    pub(crate) async fn steward(&self, health: Health, shutdown: Shutdown) -> Result<(), CommandError> {
        let broker = self.broker("steward")?;
        let (db, blobs, clock) = (self.db.clone(), self.blobs()?, self.clock.clone());
        let (planner, prover) = (self.planner()?, self.prover()?);
        let parts = picket_steward::Parts { db, broker, blobs, planner, prover, clock, health };
        picket_steward::run(self.settings.steward.clone(), parts, shutdown).await;
        Ok(())
    }

    /// How names are resolved where targets are judged: by the gateway's own pins before all others.
    fn outbound(&self) -> OutboundSettings {
        let mut outbound = self.settings.outbound.clone();
        let pins = self.settings.gateway.pin_hosts.iter().map(|(name, address)| (name.clone(), vec![*address]));
        outbound.pins.extend(pins);
        outbound
    }

    /// Judges targets as the gateway does: by the same settings.
    fn planner(&self) -> Result<Planner, CommandError> {
        let (pins, allowed) = (&self.settings.gateway.pin_hosts, &self.settings.gateway.allow_targets);
        let allow_list = AllowList::parse(allowed).map_err(CommandError::AllowTargets)?;
        let deny_list = DenyList::parse(&self.settings.gateway.deny_targets).map_err(CommandError::DenyTargets)?;
        let planner = Planner::new(pins, Resolver::new(&self.outbound())?, allow_list);
        Ok(planner.denying(deny_list).simulating(self.settings.gateway.simulator))
    }

    /// Looks for proofs as the gateway does.
    fn prover(&self) -> Result<Prover, CommandError> {
        Ok(Prover::open(self.outbound())?)
    }

    /// `is_alone`: in a process without a gateway. Then a folder of its own would keep outputs where nobody finds them.
    pub(crate) async fn worker(&self, is_alone: bool, health: Health, shutdown: Shutdown) -> Result<(), CommandError> {
        let parts = picket_worker::Parts {
            db: self.db.clone(),
            broker: self.broker("worker")?,
            planner: self.planner()?,
            blobs: if is_alone && self.settings.blobs.is_none() { None } else { Some(self.blobs()?) },
            live: self.settings.redis.as_ref().map(Live::new).transpose()?,
            clock: self.clock.clone(),
            health,
        };
        Ok(picket_worker::run(self.settings.worker.clone(), parts, shutdown).await?)
    }

    pub(crate) async fn dispatcher(&self, health: Health, shutdown: Shutdown) -> Result<(), CommandError> {
        let parts = picket_dispatcher::Parts {
            db: self.db.clone(),
            broker: self.broker("dispatcher")?,
            http: HttpClient::new(self.settings.outbound.clone())?,
            mailer: self.settings.dispatcher.smtp.as_ref().map(Mailer::new).transpose()?,
            sealer: self.sealer()?,
            clock: self.clock.clone(),
            health,
            origin: picket_gateway::origin(&self.settings.gateway)?,
        };
        picket_dispatcher::run(self.settings.dispatcher.clone(), parts, shutdown).await;
        Ok(())
    }

    pub(crate) async fn renderer(&self, health: Health, shutdown: Shutdown) -> Result<(), CommandError> {
        let parts = picket_renderer::Parts {
            db: self.db.clone(),
            broker: self.broker("renderer")?,
            blobs: self.blobs()?,
            pdf: child("render-pdf")?,
            clock: self.clock.clone(),
            health,
        };
        picket_renderer::run(self.settings.renderer.clone(), parts, shutdown).await;
        Ok(())
    }
}

/// What reads what strangers made runs in a process of its own under limits: this very program.
fn child(subcommand: &str) -> Result<ChildCommand, CommandError> {
    let program = std::env::current_exe()
        .map_err(|source| CommandError::Io { what: "cannot find this program itself".to_owned(), source })?;
    Ok(ChildCommand { program, args: vec![subcommand.to_owned()] })
}

/// The gateway needs the database alone to do its work: looks at it now and then, until shutdown.
pub(crate) async fn watch_database(db: Db, health: Health, shutdown: Shutdown) {
    while let Some(answer) = shutdown.or(db.ping()).await {
        health.report(answer.err().map(|_| "database").into_iter().collect());
        shutdown.or(tokio::time::sleep(Duration::from_secs(2))).await;
    }
    health.set_ready(false);
}
