//! Parameters and command line of Wapiti.

use picket_domain::{Invocation, Shard, ToolOutput};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ParamsError, TaskShape,
    site::{self, Start},
    typed::{self, Port, RootPath, Within},
};

const REPORT: &str = "/scratch/report.json";
/// When the checks end at the latest: two minutes before the wall clock strikes.
const ATTACKS_END_SECONDS: u32 = 38 * 60;
const MIN_ATTACK_SECONDS: u32 = 30;
const DEFAULT_SECONDS: u32 = 900;

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
    /// How far to crawl.
    scope: Scope,
    /// The checks to run; without any, those that fit every site.
    modules: Vec<Module>,
    /// Seconds until crawl and checks end, 60 to 1800; 900 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_scan_time: Option<Within<60, 1800>>,
    /// 2 also tries parameters that pages do not name.
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<Within<1, 2>>,
}

/// How far to crawl.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Scope {
    /// The start page, with any query.
    Page,
    /// Everything below the folder of the start page.
    #[default]
    Folder,
    /// The start page as it is.
    Url,
}

/// A check, known by the same name in every version since 3.0.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Module {
    Backup,
    Cookieflags,
    Crlf,
    Csp,
    Csrf,
    Exec,
    File,
    Htaccess,
    HttpHeaders,
    Methods,
    Permanentxss,
    Redirect,
    Shellshock,
    Sql,
    Xss,
}

const DEFAULT_MODULES: [Module; 10] = [
    Module::Backup, Module::Cookieflags, Module::Csp, Module::Exec, Module::File, Module::HttpHeaders, Module::Permanentxss, Module::Redirect,
    Module::Sql, Module::Xss,
];

impl Module {
    const fn text(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Cookieflags => "cookieflags",
            Self::Crlf => "crlf",
            Self::Csp => "csp",
            Self::Csrf => "csrf",
            Self::Exec => "exec",
            Self::File => "file",
            Self::Htaccess => "htaccess",
            Self::HttpHeaders => "http_headers",
            Self::Methods => "methods",
            Self::Permanentxss => "permanentxss",
            Self::Redirect => "redirect",
            Self::Shellshock => "shellshock",
            Self::Sql => "sql",
            Self::Xss => "xss",
        }
    }
}

fn read(params: Option<&Value>) -> Result<Params, ParamsError> {
    let mut params: Params = typed::read(params)?;
    params.modules.sort_unstable();
    params.modules.dedup();
    Ok(params)
}

/// The one task that the parameters ask for.
pub(super) fn shapes(params: Option<&Value>) -> Result<Vec<TaskShape>, ParamsError> {
    site::shapes::<Params>(Some(&typed::canonical(&read(params)?)))
}

/// What remains of the wall clock behind the crawl, for each check.
fn attack_seconds(crawl: u32, checks: usize) -> u32 {
    let checks = u32::try_from(checks).unwrap_or(u32::MAX).max(1);
    ATTACKS_END_SECONDS.saturating_sub(crawl).checked_div(checks).unwrap_or_default().max(MIN_ATTACK_SECONDS)
}

/// The command line against the one address of `shard`. `--max-attack-time` bounds each check, so that the report is
/// written before the wall clock strikes.
pub(super) fn invocation(params: &Value, shard: &Shard) -> Result<Invocation, ParamsError> {
    let params = read(Some(params))?;
    let start = Start::of(params.port, params.tls, &params.path, shard)?;
    let seconds = params.max_scan_time.map_or(DEFAULT_SECONDS, |seconds| seconds.0);
    let modules = if params.modules.is_empty() { DEFAULT_MODULES.as_slice() } else { params.modules.as_slice() };
    let names: Vec<&str> = modules.iter().map(|module| module.text()).collect();
    let scope = match params.scope {
        Scope::Page => "page",
        Scope::Folder => "folder",
        Scope::Url => "url",
    };
    let mut args = vec!["-u".to_owned(), start.url()];
    args.extend(site::words(&["--scope", scope, "-m", &names.join(","), "-f", "json", "-o", REPORT]));
    args.extend(["-l".to_owned(), params.level.map_or(1, |level| level.0).to_string()]);
    args.extend(["--max-scan-time".to_owned(), seconds.to_string(), "--max-attack-time".to_owned(), attack_seconds(seconds, modules.len()).to_string()]);
    args.extend(site::words(&[
        "--max-links-per-page", "50", "--max-files-per-dir", "50", "--max-parameters", "20", "-d", "10", "-t", "10", "--flush-session", "--no-bugreport",
        "-v", "0",
    ]));
    Ok(Invocation { output: ToolOutput::File(REPORT), ..start.run("wapiti", "/usr/bin/wapiti", args, shard) })
}
