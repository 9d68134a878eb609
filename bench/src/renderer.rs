//! The renderer for (j): the product's own program from beside this one, which is built without it, since typesetting is
//! most of what there is to compile.

use std::{process::Stdio, time::Duration};

use picket_domain::{Branding, ReportFormat, ReportId, ReportRequest, ScanId};
use picket_kit::Sealer;
use picket_store::reports::{self, NewReport};
use secrecy::ExposeSecret;
use tokio::process::Command;

use crate::{
    Failure,
    ground::Ground,
    role::{self, Role},
};

/// How often it is looked for a report.
const LOOK: Duration = Duration::from_millis(100);

/// Starts it; `None`, and a message, where the program was not built.
pub(crate) fn start(ground: &Ground) -> Result<Option<Role>, Failure> {
    let program = std::env::current_exe()?.with_file_name("picket");
    if !program.is_file() {
        eprintln!("skipped: the renderer's memory: there is no {}", program.display());
        return Ok(None);
    }
    let (settings, state) = (ground.folder().join("picket.toml"), ground.folder().join("renderer"));
    let key = Sealer::generate_key();
    std::fs::write(&settings, format!("sealing_key = {:?}\nstate_dir = {state:?}\n", key.expose_secret()))?;
    let child = Command::new(program)
        .arg("--settings")
        .arg(settings)
        .arg("renderer")
        .env("DATABASE_URL", ground.database.url())
        .env("AMQP_URL", &ground.namespace.url)
        .env("PICKET_BROKER__PREFIX", &ground.namespace.prefix)
        .env("PICKET_INTERNAL__LISTEN", "127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    Ok(Some(role::Role::of(child)))
}

/// Asks for a report of a scan and waits for it.
pub(crate) async fn report(ground: &Ground, scan: ScanId) -> Result<(), Failure> {
    let organization_id = *ground.organizations.first().ok_or("an organization")?;
    let now = ground.clock.now();
    let request = ReportRequest {
        scan_ids: vec![scan],
        format: ReportFormat::Html,
        include_executive_summary: true,
        include_technical_details: true,
        branding: Branding::default(),
    };
    let id = ReportId::mint(now);
    let requested_by = "bench".to_owned();
    let new = NewReport { id, organization_id, request, warnings: Vec::new(), requested_by, traceparent: None };
    ground.db.run("bench.report", organization_id, async |tx| reports::create(tx, &new, now).await).await?;
    let sql = format!("SELECT count(*) FROM reports WHERE id = '{}' AND state = 'done'", id.uuid());
    ground.await_count(&sql, 1, LOOK).await
}
