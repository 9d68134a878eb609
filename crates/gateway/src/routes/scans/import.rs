//! A report that a tool wrote elsewhere, as a scan. No target needs to be authorized: nothing is touched, and the hosts in
//! the file are whatever the organization says they are.

mod document;

use std::fmt::Write as _;

use actix_web::{HttpRequest, HttpResponse, http::header, web::Payload};
use picket_domain::{
    AuditAction, Authority, Basis, Dialect, Grounds, Needs, NewScan, NewTask, Observation, Permission, Plan, Pool,
    SandboxLevel, ScanId, ScanLimits, Shard, Target, TaskId,
};
use picket_planner::Asker;
use picket_store::{
    artifacts::{self, Keep},
    audit, scans,
    tasks::RunRecord,
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::{LoadedScan, ScanKey, find, with_counts};
use crate::{
    App, Caller, Problem, RequestContext,
    body::Spool,
    idempotency,
    imports::{self, Claim, Report},
};

/// A file as a tool wrote it.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct ReportFile(Vec<u8>);

/// What the file is and what it is of; without a word, its content tells.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ImportQuery {
    /// The tool that wrote it (`GET /tools`, `imports`).
    #[param(example = "nmap")]
    tool: Option<String>,
    /// Its format among those of the tool.
    #[param(example = "xml")]
    format: Option<String>,
    /// What was scanned: a host name, an address or a network. When absent, the host in the file. A report that names no
    /// host (SARIF, drHeader, gobuster) needs a host name or an address here.
    #[param(example = "example.com")]
    target: Option<String>,
}

/// Reads the body and stores it as a scan that has ended, with the `answer` under the client's key.
pub(super) async fn import(
    app: &App,
    caller: &Caller,
    context: &RequestContext,
    query: ImportQuery,
    (request, payload): (HttpRequest, Payload),
    answer: impl FnOnce(&LoadedScan) -> HttpResponse,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ScansWrite)?;
    let target = query.target.as_deref().map(Target::parse).transpose();
    let target = target.map_err(|error| Problem::target("target", &error))?;
    let encoding = request.headers().get(header::CONTENT_ENCODING).map(header::HeaderValue::as_bytes);
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::UnsupportedMediaType("the report itself, without content encoding"));
    }
    let file = Spool::read(&request, payload.into_inner(), imports::file_limit(app, caller)).await?;
    let (size_bytes, sha256) = (file.size_bytes(), hex(&file.sha256()));
    let copy = file.again().map_err(|error| Problem::Unavailable(Box::new(error)))?;
    let report =
        app.imports.read(file, Claim { tool: query.tool, format: query.format, target: target.clone() }).await?;
    let asker = caller.asker(context, app.clock.now(), Grounds::default());
    let about = json!({"format": report.format.name(), "size_bytes": size_bytes, "sha256": sha256});
    let new = scan(&asker, &report, target.as_ref(), &about, context.dialect);
    let run = RunRecord {
        output_bytes: i64::try_from(size_bytes).unwrap_or(i64::MAX),
        gap: report.parsed.gap,
        detail: report.parsed.gap.map(|_| report.parsed.reason.clone()),
        ..RunRecord::default()
    };
    let kept = document::keep(app, &new, copy, &sha256).await;
    store(app, caller, context, &new, (&report.observations, &run, kept.as_ref()), answer).await
}

async fn store(
    app: &App,
    caller: &Caller,
    context: &RequestContext,
    new: &NewScan,
    (observations, run, kept): (&[Observation], &RunRecord, Option<&Keep>),
    answer: impl FnOnce(&LoadedScan) -> HttpResponse,
) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    app.db
        .run("import_scan", caller.organization_id, async |tx| {
            scans::import::store(tx, new, observations, run, now).await?;
            if let Some(kept) = kept {
                let _is_told = artifacts::keep(tx, kept).await?;
            }
            let entry = context
                .entry(now, &caller.label(), AuditAction::ScanImported, Some(new.id.to_string()))
                .change(None, Some(json!({"target": new.target, "tool": new.tool, "report": new.request})));
            audit::record(tx, caller.organization_id, &entry).await?;
            let scan = with_counts(tx, find(tx, ScanKey::Id(new.id)).await?).await?;
            idempotency::keep(app, tx, answer(&scan)).await
        })
        .await
}

/// The scan, with one task for the file.
fn scan(asker: &Asker, report: &Report, target: Option<&Target>, about: &Value, dialect: Dialect) -> NewScan {
    let target = target.map_or_else(|| host(&report.observations), ToString::to_string);
    let task = NewTask {
        id: TaskId::mint(asker.now),
        tool: report.format.tool(),
        needs: Needs { pool: Pool::Import, level: SandboxLevel::L2 },
        params: about.clone(),
        shard: Shard { target: target.clone(), addresses: Vec::new(), hosts: Vec::new() },
        opens: Vec::new(),
    };
    NewScan {
        id: ScanId::mint(asker.now),
        organization_id: asker.organization_id,
        dialect,
        plan: Plan::Custom,
        target,
        tool: Some(report.format.tool()),
        request: json!({"import": about}),
        notify: Vec::new(),
        gaps: Vec::new(),
        tasks: vec![task],
        later: Vec::new(),
        authority: Authority::of(Basis::Import),
        probes: 0,
        limits: ScanLimits::default(),
        requested_by: asker.requested_by.clone(),
        traceparent: asker.traceparent.clone(),
    }
}

/// What a report without a target is called: its host, or that there are several or none.
fn host(observations: &[Observation]) -> String {
    let mut hosts = observations.iter().map(|observation| observation.location.host.as_str());
    let Some(first) = hosts.next() else { return "no host".to_owned() };
    if hosts.all(|host| host == first) { first.to_owned() } else { "several hosts".to_owned() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}
