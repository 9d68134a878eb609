//! Parameters of ZAP, and the plan that it carries out.

use std::borrow::Cow;

use picket_domain::{InputFile, Invocation, Shard, ToolOutput};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    ParamsError,
    site::{self, Start},
    typed::{self, Port, RootPath, Within},
};

const REPORT: &str = "/scratch/report.json";
const PLAN: &str = "/input/plan.yaml";
const DEFAULT_MINUTES: u32 = 10;

/// What a client may ask for.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Params {
    /// The port; 80 without it, 443 with `tls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<Port>,
    /// Whether to speak TLS; true on port 443 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<bool>,
    /// The page to begin with.
    path: RootPath,
    /// Whether to attack.
    mode: Mode,
    /// Minutes for the crawl, and for the attack, 1 to 30; 10 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    minutes: Option<Within<1, 30>>,
}

/// How far ZAP goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Crawl and watch.
    #[default]
    Baseline,
    /// Attack as well.
    Full,
}

/// The command line against the one address of `shard`.
pub(super) fn invocation(params: &Value, shard: &Shard) -> Result<Invocation, ParamsError> {
    let params: Params = typed::read(Some(params))?;
    let start = Start::of(params.port, params.tls, &params.path, shard)?;
    let plan = plan(&params, &start).to_string().into_bytes();
    let args = site::words(&["-Xmx1536m", "-cmd", "-silent", "-notel", "-dir", "/scratch/zap", "-autorun", PLAN]);
    let input_files = vec![InputFile { path: PLAN, content: Cow::Owned(plan) }];
    Ok(Invocation { input_files, output: ToolOutput::File(REPORT), ..start.run("zap", "/usr/bin/zap.sh", args, shard) })
}

/// The plan of ZAP's automation framework. It reads YAML, of which JSON is a part; nothing in it needs quoting that JSON
/// does not do.
fn plan(params: &Params, start: &Start) -> Value {
    let minutes = params.minutes.map_or(DEFAULT_MINUTES, |minutes| minutes.0);
    let url = start.url();
    let scope = format!("{}.*", pattern(&url));
    let mut jobs = vec![
        json!({"type": "passiveScan-config", "parameters": {"maxAlertsPerRule": 100, "scanOnlyInScope": true}}),
        json!({"type": "spider", "parameters": {"context": "picket", "url": url, "maxDuration": minutes, "maxDepth": 10}}),
        json!({"type": "passiveScan-wait", "parameters": {"maxDuration": minutes}}),
    ];
    if params.mode == Mode::Full {
        jobs.push(json!({"type": "activeScan", "parameters": {"context": "picket", "maxScanDurationInMins": minutes}}));
    }
    jobs.push(json!({
        "type": "report",
        "parameters": {"template": "traditional-json", "reportDir": "/scratch", "reportFile": "report.json", "displayReport": false},
    }));
    json!({
        "env": {
            "contexts": [{"name": "picket", "urls": [url], "includePaths": [scope]}],
            "parameters": {"failOnError": true, "failOnWarning": false, "progressToStdout": false},
        },
        "jobs": jobs,
    })
}

/// A regular expression that matches the text itself. A URL of ours holds no backslash and no `\E`.
fn pattern(url: &str) -> String {
    let mut pattern = String::new();
    for character in url.chars() {
        if matches!(character, '.' | '[' | ']') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}
