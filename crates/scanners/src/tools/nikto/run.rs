//! Parameters and command line of Nikto.

use picket_domain::{Invocation, Shard, ToolOutput};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ParamsError,
    site::{self, Start},
    typed::{self, Port, RootPath, Within},
};

const REPORT: &str = "/scratch/report.xml";

/// What a client may ask for.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Params {
    /// The port; 80 without it, 443 with `tls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<Port>,
    /// Whether to speak TLS; true on port 443 without it. `ssl` is the same.
    #[serde(skip_serializing_if = "Option::is_none", alias = "ssl")]
    tls: Option<bool>,
    /// The folder below which files are looked for.
    path: RootPath,
    /// Kinds of checks; without any, all that can be chosen.
    tuning: Vec<Tuning>,
    /// Seconds until the checks end, 60 to 2100. Without it they end with the tool's wall clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_time: Option<Within<60, 2100>>,
}

/// Nikto's letters for kinds of checks, without denial of service (6) and uploads (0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
enum Tuning {
    /// Interesting files and what is seen in logs.
    #[serde(rename = "1")]
    Files,
    /// Misconfiguration and default files.
    #[serde(rename = "2")]
    Defaults,
    /// Disclosure of information.
    #[serde(rename = "3")]
    Disclosure,
    /// Injection of script and markup.
    #[serde(rename = "4")]
    Injection,
    /// Files inside of the web root.
    #[serde(rename = "5")]
    Retrieval,
    /// Files everywhere on the server.
    #[serde(rename = "7")]
    ServerWide,
    /// Execution of commands.
    #[serde(rename = "8")]
    Execution,
    /// Injection of SQL.
    #[serde(rename = "9")]
    Sql,
    /// Authentication that can be gone around.
    #[serde(rename = "a")]
    Bypass,
    /// Recognition of software.
    #[serde(rename = "b")]
    Software,
    /// Inclusion of remote source.
    #[serde(rename = "c")]
    Inclusion,
    /// Web services.
    #[serde(rename = "d")]
    WebService,
    /// Consoles of administrators.
    #[serde(rename = "e")]
    Console,
}

impl Tuning {
    const ALL: [Self; 13] = [
        Self::Files, Self::Defaults, Self::Disclosure, Self::Injection, Self::Retrieval, Self::ServerWide, Self::Execution, Self::Sql, Self::Bypass,
        Self::Software, Self::Inclusion, Self::WebService, Self::Console,
    ];

    const fn letter(self) -> char {
        match self {
            Self::Files => '1',
            Self::Defaults => '2',
            Self::Disclosure => '3',
            Self::Injection => '4',
            Self::Retrieval => '5',
            Self::ServerWide => '7',
            Self::Execution => '8',
            Self::Sql => '9',
            Self::Bypass => 'a',
            Self::Software => 'b',
            Self::Inclusion => 'c',
            Self::WebService => 'd',
            Self::Console => 'e',
        }
    }
}

/// The command line against the one address of `shard`. Nikto takes `-host` for a file when there is one of that name, so
/// it gets the address, and the name apart. Kinds are left out rather than chosen: 2.1.5 runs only what is of all chosen
/// kinds at once. A limit of time is only set for who asks for one: 2.1.5 does not tell in its report that it was reached.
pub(super) fn invocation(params: &Value, shard: &Shard) -> Result<Invocation, ParamsError> {
    let params: Params = typed::read(Some(params))?;
    let start = Start::of(params.port, params.tls, &params.path, shard)?;
    let is_left_out = |kind: &Tuning| !params.tuning.is_empty() && !params.tuning.contains(kind);
    let letters: String = Tuning::ALL.into_iter().filter(is_left_out).map(Tuning::letter).collect();
    let mut args = vec!["-host".to_owned(), start.address.to_string(), "-port".to_owned(), start.port.to_string()];
    if let Some(name) = &start.name {
        args.extend(["-vhost".to_owned(), name.clone()]);
    }
    args.push(if start.is_tls { "-ssl" } else { "-nossl" }.to_owned());
    if start.path() != "/" {
        args.extend(["-root".to_owned(), start.path().trim_end_matches('/').to_owned()]);
    }
    args.extend(["-Tuning".to_owned(), format!("x06{letters}")]);
    args.extend(params.max_time.into_iter().flat_map(|seconds| ["-maxtime".to_owned(), seconds.to_string()]));
    args.extend(site::words(&["-nointeractive", "-ask", "no", "-nolookup", "-timeout", "10", "-Format", "xml", "-output", REPORT]));
    Ok(Invocation { output: ToolOutput::File(REPORT), ..start.run("nikto", "/usr/bin/nikto", args, shard) })
}
