//! `picket demo`: a client like any other, which shows the whole path over HTTP. It starts a target of ours on loopback,
//! registers, asks for a scan, hears of it by webhook, and fetches findings and reports. It knows nothing of the API's
//! inside, but that beside `picket up` it is the operator too, and gives its organization a plan whose limits do not slow it
//! down. It must never reach for another target than its own.

mod answers;
mod api;
mod console;
mod document;
mod failure;
mod inbox;
mod journey;
mod receiver;
mod signature;
mod step;
mod summary;
mod table;
mod target;

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

use picket_kit::{Clock, Shutdown};
use picket_store::Db;
use tokio::time::timeout;

use self::{
    api::Api,
    console::Console,
    failure::Failure,
    journey::Journey,
    receiver::Receiver,
    step::{Progress, Step},
    target::DemoTarget,
};
pub(crate) use self::{failure::DemoError, summary::DemoSummary};
use crate::DemoArguments;

/// How long all of it may take.
const DEADLINE: Duration = Duration::from_secs(240);
/// Where the target listens; the operator's list must hold it.
const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What the demo needs to know.
#[derive(Clone)]
pub(crate) struct DemoSettings {
    /// The address of the API, such as `http://127.0.0.1:8080`.
    pub(crate) api: String,
    /// The folder that reports are written to; made when it is missing.
    pub(crate) output: PathBuf,
    /// The platform's database, where the demo runs beside the platform.
    pub(crate) operator: Option<Db>,
}

impl DemoSettings {
    /// The settings that the command line gives.
    pub(crate) fn of(arguments: &DemoArguments) -> Self {
        Self { api: arguments.api.clone(), output: arguments.output.clone(), operator: None }
    }
}

/// Runs the demo; its last line on standard output is the summary. Takes at most 240 s.
///
/// # Errors
/// The step that failed, and why.
pub(crate) async fn run(settings: DemoSettings) -> Result<DemoSummary, DemoError> {
    let console = Console::new();
    let progress = Progress::new(&console);
    // Given when this function ends, however it ends: the target and the receiver live no longer.
    let shutdown = Shutdown::new();
    let _ended = StopOnDrop(shutdown.clone());
    let summary = timeout(DEADLINE, travel(&settings, &console, &progress, &shutdown))
        .await
        .unwrap_or(Err(Failure::Deadline(DEADLINE)))
        .map_err(|cause| DemoError { step: progress.now(), cause })?;
    console.show(&summary.to_string());
    Ok(summary)
}

async fn travel(
    settings: &DemoSettings,
    console: &Console,
    progress: &Progress<'_>,
    shutdown: &Shutdown,
) -> Result<DemoSummary, Failure> {
    progress.begin(Step::StartTarget);
    let target = DemoTarget::start(TARGET, shutdown).await?;
    for service in target.services() {
        console.note(&format!("{:<21} {:<6} {}", service.address.to_string(), service.name, service.weakness));
    }
    progress.begin(Step::StartReceiver);
    let receiver = Receiver::start(TARGET, Clock::system(), shutdown).await?;
    let api = Api::new(&settings.api, console)?;
    let (output, operator) = (settings.output.as_path(), settings.operator.as_ref());
    Journey { api, console, progress, target: &target, receiver: &receiver, output, operator }.travel().await
}

struct StopOnDrop(Shutdown);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
