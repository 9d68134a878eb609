//! Parameters and command line of nuclei.

use std::net::IpAddr;

use picket_domain::{Invocation, Severity, Shard};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ParamsError, TaskShape,
    site::{self, Start},
    typed::{self, Port, RootPath, Within},
};

pub(super) const DEFAULT_RATE: u32 = 50;
pub(super) const MAX_RATE: u32 = 150;

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
    /// Only templates of these severities; without any, all.
    severity: Vec<Level>,
    /// Only templates of these kinds; without any, all.
    tags: Vec<Tag>,
    /// The most requests per second, at most 150; 50 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<Within<1, MAX_RATE>>,
}

/// A severity as templates name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Level {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Level {
    const fn text(self) -> &'static str {
        match self {
            Self::Info => Severity::Info.name(),
            Self::Low => Severity::Low.name(),
            Self::Medium => Severity::Medium.name(),
            Self::High => Severity::High.name(),
            Self::Critical => Severity::Critical.name(),
        }
    }
}

/// A kind of template that needs nobody else's server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Tag {
    Cve,
    DefaultLogin,
    Disclosure,
    Exposure,
    Lfi,
    Misconfig,
    Panel,
    Rce,
    Redirect,
    Sqli,
    Ssl,
    Tech,
    Unauth,
    Wordpress,
    Xss,
}

impl Tag {
    const fn text(self) -> &'static str {
        match self {
            Self::Cve => "cve",
            Self::DefaultLogin => "default-login",
            Self::Disclosure => "disclosure",
            Self::Exposure => "exposure",
            Self::Lfi => "lfi",
            Self::Misconfig => "misconfig",
            Self::Panel => "panel",
            Self::Rce => "rce",
            Self::Redirect => "redirect",
            Self::Sqli => "sqli",
            Self::Ssl => "ssl",
            Self::Tech => "tech",
            Self::Unauth => "unauth",
            Self::Wordpress => "wordpress",
            Self::Xss => "xss",
        }
    }
}

fn read(params: Option<&Value>) -> Result<Params, ParamsError> {
    let mut params: Params = typed::read(params)?;
    params.severity.sort_unstable();
    params.severity.dedup();
    params.tags.sort_unstable();
    params.tags.dedup();
    Ok(params)
}

/// The one task that the parameters ask for.
pub(super) fn shapes(params: Option<&Value>) -> Result<Vec<TaskShape>, ParamsError> {
    site::shapes::<Params>(Some(&typed::canonical(&read(params)?)))
}

/// Options of every run. Nothing is updated or reported (`-duc`), no server of somebody else is asked (`-ni`), unsigned
/// templates and those of dangerous kinds are left out (`-dut`, `-ept`), redirects are not followed (`-dr`), and the
/// requests and templates themselves stay out of the report (`-or`, `-ot`).
const ALWAYS: [&str; 24] = [
    "-jsonl", "-silent", "-nc", "-duc", "-ni", "-no-stdin", "-dr", "-or", "-ot", "-dut", "-ept", "code,headless,file,javascript,workflow,dns,whois",
    "-etags", "dos,fuzz,intrusive,bruteforce,oast", "-t", "/templates", "-timeout", "10", "-retries", "1", "-c", "10", "-bs", "1",
];

/// The command line against the one address of `shard`.
pub(super) fn invocation(params: &Value, shard: &Shard) -> Result<Invocation, ParamsError> {
    let params = read(Some(params))?;
    let start = Start::of(params.port, params.tls, &params.path, shard)?;
    let mut args = vec!["-u".to_owned(), start.url()];
    args.extend(site::words(&ALWAYS));
    // A second wall against redirects into the inside; it would also keep nuclei from a private address it was given.
    if is_public(start.address) {
        args.push("-lna".to_owned());
    }
    args.extend(["-rl".to_owned(), params.rate_limit.map_or(DEFAULT_RATE, |rate| rate.0).to_string()]);
    if !params.severity.is_empty() {
        let levels: Vec<&str> = params.severity.iter().map(|level| level.text()).collect();
        args.extend(["-severity".to_owned(), levels.join(",")]);
    }
    if !params.tags.is_empty() {
        let tags: Vec<&str> = params.tags.iter().map(|tag| tag.text()).collect();
        args.extend(["-tags".to_owned(), tags.join(",")]);
    }
    Ok(start.run("nuclei", "/usr/bin/nuclei", args, shard))
}

fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => !(address.is_private() || address.is_loopback() || address.is_link_local()),
        IpAddr::V6(address) => !(address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()),
    }
}
