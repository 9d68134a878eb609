//! How the scanners are, from the heartbeats of live workers. What no heartbeat says is null, never guessed.

use jiff::Timestamp;
use picket_domain::SandboxLevel;
use picket_scanners::Tool;
use picket_store::workers::LiveWorker;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::view;

/// How all scanners are.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ToolsHealthView {
    /// Workers that live and take tasks.
    pub(super) workers: usize,
    /// The scanners, by name.
    pub(super) data: Vec<ToolHealthView>,
}

/// How a scanner is.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct ToolHealthView {
    /// The tool.
    #[schema(example = "nmap")]
    id: &'static str,
    /// `available`; `not_installed` when no live worker has it; `no_worker` when there is no worker at all.
    #[schema(example = "available")]
    status: &'static str,
    /// Whether a live worker has it.
    installed: bool,
    /// The version that live workers have; of several, all of them.
    #[schema(example = "7.93")]
    version: Option<String>,
    /// Content hashes of the roots that it runs in.
    root_hashes: Vec<String>,
    /// Live workers that have it.
    workers: usize,
    /// The sandbox levels that these have proven, strongest first.
    #[schema(value_type = Vec<String>, example = json!(["L0"]))]
    levels: Vec<SandboxLevel>,
    /// Whether one of them has raw sockets for it.
    raw: bool,
    /// When the last self-test of one of them was.
    last_self_test: Option<Timestamp>,
    /// What the self-test of each of them said of each level: `[{level, proven, reason}]`.
    #[schema(value_type = Vec<Vec<Object>>)]
    proofs: Vec<Value>,
    /// Days since its templates were made, for tools that have some.
    template_age_days: Option<i64>,
}

impl ToolHealthView {
    pub(super) fn new(tool: &dyn Tool, workers: &[LiveWorker], now: Timestamp) -> Self {
        let slug = tool.slug();
        let having: Vec<&LiveWorker> =
            workers.iter().filter(|worker| worker.tools.iter().any(|one| one == slug)).collect();
        let mut levels: Vec<SandboxLevel> = having.iter().map(|worker| worker.level).collect();
        levels.sort_unstable();
        levels.dedup();
        let about = |name: &str| -> Vec<String> {
            let of_worker =
                |worker: &&LiveWorker| worker.tool_versions.get(slug)?.get(name)?.as_str().map(str::to_owned);
            let mut values: Vec<_> = having.iter().filter_map(of_worker).collect();
            values.sort_unstable();
            values.dedup();
            values
        };
        let made = about("templates_at").iter().filter_map(|at| at.parse::<Timestamp>().ok()).min();
        Self {
            id: slug,
            status: match (having.is_empty(), workers.is_empty()) {
                (false, _) => "available",
                (true, false) => "not_installed",
                (true, true) => "no_worker",
            },
            installed: !having.is_empty(),
            version: view::version(slug, workers),
            root_hashes: about("hash"),
            workers: having.len(),
            levels,
            raw: having.iter().any(|worker| worker.raw),
            last_self_test: having.iter().filter_map(|worker| worker.proven_at).max(),
            proofs: having.iter().map(|worker| worker.proofs.clone()).collect(),
            template_age_days: made.map(|made| now.duration_since(made).as_hours() / 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use picket_domain::Pool;
    use serde_json::json;

    use super::*;

    fn worker(tools: &[&str]) -> LiveWorker {
        LiveWorker {
            pools: vec![Pool::Net],
            level: SandboxLevel::L0,
            counts_as: Some(SandboxLevel::L0),
            tools: tools.iter().map(|tool| (*tool).to_owned()).collect(),
            raw: true,
            proven_at: Some("2026-01-15T14:00:00Z".parse().unwrap()),
            proofs: json!([{"level": "L0", "proven": true, "reason": null}]),
            tool_versions: json!({"nmap": {"version": "7.93", "hash": "ab", "templates_at": "2026-01-05T14:30:00Z"}}),
        }
    }

    #[test]
    fn a_tool_is_as_its_workers_say() {
        let nmap = picket_scanners::find("nmap").unwrap();
        let now: Timestamp = "2026-01-15T14:30:00Z".parse().unwrap();
        let health = |workers: &[LiveWorker]| ToolHealthView::new(nmap, workers, now);
        assert_eq!(health(&[]).status, "no_worker");
        let other = health(&[worker(&["ffuf"])]);
        assert_eq!((other.status, other.installed, other.workers, other.raw), ("not_installed", false, 0, false));
        let own = health(&[worker(&["nmap"]), worker(&["nmap", "ffuf"])]);
        assert_eq!((own.status, own.workers, own.raw), ("available", 2, true));
        assert_eq!((own.version.as_deref(), own.root_hashes), (Some("7.93"), vec!["ab".to_owned()]));
        assert_eq!((own.levels, own.template_age_days), (vec![SandboxLevel::L0], Some(10)));
        assert_eq!(own.last_self_test, Some("2026-01-15T14:00:00Z".parse().unwrap()));
    }

    #[test]
    fn what_a_heartbeat_does_not_say_is_null() {
        let silent = LiveWorker { proven_at: None, tool_versions: json!({}), ..worker(&["nmap"]) };
        let nmap = picket_scanners::find("nmap").unwrap();
        let health = ToolHealthView::new(nmap, &[silent], Timestamp::UNIX_EPOCH);
        assert_eq!((health.version, health.last_self_test, health.template_age_days), (None, None, None));
    }
}
