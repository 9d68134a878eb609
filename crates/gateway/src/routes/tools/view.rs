//! Scanners as the catalogue shows them, those that are run here and those whose reports are only read.

use std::collections::BTreeMap;

use picket_domain::{Needs, Pool, SandboxLevel, Subscription};
use picket_scanners::{Asked, FanOut, IMPORTS, ImportOnly, ScanSpec, Tool};
use picket_store::workers::LiveWorker;
use serde::Serialize;
use utoipa::ToSchema;

/// A scanner.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ToolView {
    /// The name that requests use.
    #[schema(example = "nmap")]
    id: &'static str,
    /// The name for people.
    #[schema(example = "Nmap")]
    name: &'static str,
    /// `run`: scans use it; `import`: only its reports are read.
    #[schema(example = "run")]
    kind: &'static str,
    /// The kind of tool.
    #[schema(example = "network")]
    category: &'static str,
    /// What it does.
    description: String,
    /// The version that live workers have; null when none has it.
    #[schema(example = "7.93")]
    version: Option<String>,
    /// Whether it may look at any public target without proof of ownership.
    passive: bool,
    /// `passive`: looks at what anybody may see; `active`: sends what an owner should know of.
    #[schema(example = "active")]
    intrusiveness: &'static str,
    /// What the plan of the organization allows; null for what is only imported.
    plan: Option<PlanAllowsView>,
    /// The JSON Schema of its parameters; null for what is only imported.
    #[schema(value_type = Option<Object>)]
    parameters: Option<serde_json::Value>,
    /// The formats of its reports that can be imported.
    formats: Vec<&'static str>,
}

/// What a plan allows with a tool.
#[derive(Debug, Serialize, ToSchema)]
struct PlanAllowsView {
    /// Whether it may be used at all.
    allowed: bool,
    /// Addresses in one scan.
    addresses_per_scan: u32,
    /// Hosts × ports in one scan, over all its runs.
    hosts_times_ports_per_scan: u64,
    /// Scans that have not ended, at one time.
    concurrent_scans: u32,
}

/// A tool whose reports can be imported, whether it can be run here or not.
#[derive(Debug, Serialize, ToSchema)]
struct ImportView {
    /// The tool.
    #[schema(example = "nmap")]
    tool: &'static str,
    /// Its formats.
    formats: Vec<&'static str>,
}

/// All scanners.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ToolsView {
    /// The scanners, by name.
    data: Vec<ToolView>,
    /// What `POST /scans/import` reads.
    imports: Vec<ImportView>,
}

impl ToolsView {
    pub(super) fn new(plan: Subscription, workers: &[LiveWorker]) -> Self {
        let mut imports: BTreeMap<&'static str, Vec<&'static str>> = BTreeMap::new();
        for format in picket_scanners::formats() {
            imports.entry(format.tool()).or_default().push(format.name());
        }
        let run = picket_scanners::offered().map(|tool| ToolView::new(tool, plan, workers));
        let mut data: Vec<ToolView> = run.chain(IMPORTS.iter().map(ToolView::of_import)).collect();
        data.sort_unstable_by_key(|tool| tool.id);
        Self { data, imports: imports.into_iter().map(|(tool, formats)| ImportView { tool, formats }).collect() }
    }
}

impl ToolView {
    fn new(tool: &dyn Tool, plan: Subscription, workers: &[LiveWorker]) -> Self {
        let limits = plan.limits();
        Self {
            id: tool.slug(),
            name: tool.title(),
            kind: "run",
            category: tool.category(),
            description: tool.description().to_owned(),
            version: version(tool.slug(), workers),
            passive: tool.is_passive(),
            intrusiveness: if tool.is_passive() { "passive" } else { "active" },
            plan: Some(PlanAllowsView {
                allowed: true,
                addresses_per_scan: limits.addresses,
                hosts_times_ports_per_scan: limits.probes,
                concurrent_scans: limits.concurrent_scans,
            }),
            parameters: Some(tool.params_schema()),
            formats: formats(tool.slug()),
        }
    }

    /// An import touches nobody, so it is passive whatever the tool did.
    fn of_import(import: &ImportOnly) -> Self {
        Self {
            id: import.slug(),
            name: import.title(),
            kind: "import",
            category: "import",
            description: import.description(),
            version: None,
            passive: true,
            intrusiveness: "passive",
            plan: None,
            parameters: None,
            formats: formats(import.slug()),
        }
    }
}

/// The version of a tool that live workers have; of several, all of them.
pub(super) fn version(slug: &str, workers: &[LiveWorker]) -> Option<String> {
    let of_worker = |worker: &LiveWorker| worker.tool_versions.get(slug)?.get("version")?.as_str().map(str::to_owned);
    let mut versions: Vec<_> = workers.iter().filter_map(of_worker).collect();
    versions.sort_unstable();
    versions.dedup();
    (!versions.is_empty()).then(|| versions.join(", "))
}

fn formats(slug: &str) -> Vec<&'static str> {
    picket_scanners::formats().filter(|format| format.tool() == slug).map(picket_scanners::Format::name).collect()
}

/// A scanner with its page.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ToolDetailView {
    #[serde(flatten)]
    tool: ToolView,
    /// What it does, what it needs and where its limits are, in Markdown.
    page: String,
    /// What a worker must have for a run with the default parameters; empty for what is only imported.
    needs: Vec<NeedsView>,
    /// How many addresses one run takes: `one` or `many`; null for what is only imported.
    #[schema(example = "many")]
    addresses_per_run: Option<&'static str>,
    /// What one run may use at most; the operator of a worker may allow less time. Null for what is only imported.
    limits: Option<RunLimitsView>,
}

/// What a worker must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct NeedsView {
    /// The pool that it serves.
    #[schema(value_type = String, example = "net")]
    pool: Pool,
    /// The weakest sandbox that it has proven.
    #[schema(value_type = String, example = "L2")]
    level: SandboxLevel,
}

impl From<Needs> for NeedsView {
    fn from(needs: Needs) -> Self {
        Self { pool: needs.pool, level: needs.level }
    }
}

/// What one run of a tool may use at most.
#[derive(Debug, Serialize, ToSchema)]
struct RunLimitsView {
    /// From start to end.
    wall_seconds: u64,
    /// Address space of each process.
    memory_bytes: u64,
    /// Processes and threads at a time.
    processes: u64,
    /// Its report.
    output_bytes: u64,
    /// Its scratch directory.
    scratch_bytes: u64,
}

impl ToolDetailView {
    pub(super) fn new(tool: &dyn Tool, plan: Subscription, workers: &[LiveWorker]) -> Self {
        let appetite = tool.appetite();
        let spec = ScanSpec::try_from(Asked { tool: tool.slug(), parameters: None }).ok();
        let shapes = spec.iter().flat_map(|spec| spec.shapes());
        Self {
            tool: ToolView::new(tool, plan, workers),
            page: picket_scanners::page(tool.slug()).unwrap_or_default(),
            needs: shapes.map(|shape| shape.needs.into()).collect(),
            addresses_per_run: Some(match tool.fan_out() {
                FanOut::Together => "many",
                FanOut::OneEach => "one",
            }),
            limits: Some(RunLimitsView {
                wall_seconds: appetite.wall.as_secs(),
                memory_bytes: appetite.memory_bytes,
                processes: appetite.processes,
                output_bytes: appetite.output_bytes,
                scratch_bytes: appetite.scratch_bytes,
            }),
        }
    }

    pub(super) fn of_import(import: &ImportOnly) -> Self {
        Self {
            tool: ToolView::of_import(import),
            page: import.page(),
            needs: Vec::new(),
            addresses_per_run: None,
            limits: None,
        }
    }
}
