//! Roles as processes of their own: this program once more, told over its standard input what it is. It ends when that is
//! closed, so none outlives the bench.

use std::{
    io::{BufRead, Write},
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use picket_blobs::{BlobSettings, Blobs};
use picket_dispatcher::DispatcherSettings;
use picket_domain::Pool;
use picket_gateway::{AppParts, Gateway, GatewaySettings};
use picket_kit::{ChildCommand, Clock, Health, Sealer, Shutdown};
use picket_outbound::{HttpClient, OutboundSettings};
use picket_queue::{Broker, BrokerSettings};
use picket_steward::StewardSettings;
use picket_store::{Db, DbSettings};
use picket_worker::WorkerSettings;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

use crate::{Failure, ground, stand_in};

/// How long a role may take to be ready: a worker proves its sandbox, on a machine that others use.
const LONG: Duration = Duration::from_secs(120);

/// What a role is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) role: RoleName,
    pub(crate) database: String,
    pub(crate) broker: String,
    pub(crate) prefix: String,
    /// An empty folder that every uid can reach: the simulator needs no tool.
    pub(crate) folder: PathBuf,
    /// Of a worker.
    pub(crate) slots: u32,
    /// Which worker it is: the uids of their self-tests must differ.
    pub(crate) number: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RoleName {
    Dispatcher,
    Gateway,
    Steward,
    Worker,
}

/// A running role; killed with its owner.
pub(crate) struct Role(Child);

impl Role {
    /// Starts it, and returns when it is ready.
    pub(crate) async fn start(order: &Order) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("role").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        child.stdin.as_mut().ok_or("a role has an input")?.write_all(&line).await?;
        let mut answer = BufReader::new(child.stdout.take().ok_or("a role has an output")?).lines();
        match tokio::time::timeout(LONG, answer.next_line()).await {
            Ok(Ok(Some(word))) if word == "ready" => Ok(Self(child)),
            other => Err(format!("the role {:?} is not ready: {other:?}", order.role).into()),
        }
    }

    /// Ends it as SIGTERM would, and waits for its end.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        drop(self.0.stdin.take());
        tokio::time::timeout(LONG, self.0.wait()).await??;
        Ok(())
    }

    /// Ends it as a loss of power would.
    pub(crate) async fn kill(mut self) -> Result<(), Failure> {
        Ok(self.0.kill().await?)
    }

    /// One that was started otherwise.
    pub(crate) const fn of(child: Child) -> Self {
        Self(child)
    }

    /// Resident memory in MB (proc(5): `VmRSS`).
    pub(crate) fn resident_mb(&self) -> Result<f64, Failure> {
        let id = self.0.id().ok_or("a running role")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib * 1.024 / 1_000.0)
    }
}

/// The process of a role.
#[tokio::main]
pub(crate) async fn child() -> Result<(), Failure> {
    // What the product does for each event, but that the lines go nowhere.
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(std::io::sink).init();
    picket_kit::install_metrics()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)?;
    let (shutdown, health) = (Shutdown::new(), Health::starting());
    let stop = shutdown.clone();
    std::thread::spawn(move || {
        let _closed = std::io::stdin().lock().read_line(&mut String::new());
        stop.stop();
    });
    tokio::spawn(tell_when_ready(health.clone()));
    run(order, health, shutdown).await
}

async fn tell_when_ready(health: Health) {
    while !health.is_ready() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("ready");
    // Nobody reads it any more when this fails.
    let _flushed = std::io::stdout().flush();
}

async fn run(order: Order, health: Health, shutdown: Shutdown) -> Result<(), Failure> {
    // The product's own default.
    let settings = DbSettings { url: order.database.clone(), max_connections: 16, wait: Duration::from_secs(30) };
    let (db, clock) = (Db::new(&settings)?, Clock::system());
    let name = format!("{:?}", order.role);
    let broker = Broker::new(BrokerSettings { url: order.broker.clone(), prefix: order.prefix.clone(), name });
    let blobs = Blobs::open(&BlobSettings::Folder { path: order.folder.join("blobs") })?;
    let sealer = Sealer::new(&Sealer::generate_key())?;
    match order.role {
        RoleName::Dispatcher => {
            let http = HttpClient::new(OutboundSettings::default())?;
            let origin = "https://picket.example".to_owned();
            let parts = picket_dispatcher::Parts { db, broker, http, mailer: None, sealer, clock, health, origin };
            picket_dispatcher::run(DispatcherSettings::default(), parts, shutdown).await;
        }
        RoleName::Gateway => {
            let outbound = OutboundSettings::default();
            let picture_decoder = ChildCommand::default();
            let parts = AppParts { db, clock, sealer, blobs, outbound, live: None, picture_decoder };
            let listen = SocketAddr::from(([127, 0, 0, 1], 0));
            let gateway = Gateway::bind(parts, GatewaySettings { listen, ..GatewaySettings::default() })?;
            health.set_ready(true);
            gateway.serve(shutdown).await?;
        }
        RoleName::Steward => {
            // The organizations' own limit is what holds here: all simulated tasks have one host.
            let settings = StewardSettings { tasks_per_host: u32::MAX, ..StewardSettings::default() };
            let (planner, prover) = ground::planning()?;
            let parts = picket_steward::Parts { db, broker, blobs, planner, prover, clock, health };
            picket_steward::run(settings, parts, shutdown).await;
        }
        RoleName::Worker => {
            let (planner, _) = ground::planning()?;
            let parts = picket_worker::Parts { db, broker, blobs: Some(blobs), live: None, planner, clock, health };
            picket_worker::run(worker(&order), parts, shutdown).await?;
        }
    }
    Ok(())
}

/// A worker of the simulator.
fn worker(order: &Order) -> WorkerSettings {
    WorkerSettings {
        pools: vec![Pool::Simulate],
        simulator: true,
        slots: order.slots,
        bwrap: stand_in::bwrap(),
        tools_root: order.folder.clone(),
        first_slot_uid: order.number.saturating_mul(1_000).saturating_add(300_000),
        slirp: "/nonexistent".into(),
        sandbox_external_egress: picket_worker::ExternalEgress::Enforced,
        prepared_slots: Some(0),
        ..WorkerSettings::default()
    }
}
