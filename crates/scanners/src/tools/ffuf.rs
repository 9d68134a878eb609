//! Tries about seven hundred well-known paths: repositories, backups, dumps, configuration, consoles (ffuf 1.1 and later).
//!
//! The list of paths is Picket's own. `extensions` tries each path with these endings as well; `rate` is the most
//! requests per second. Answers that look like the site's answer to any path are left out, so a site that answers
//! everything in the same way shows little. A path that answers is not looked into: what its name promises is reported
//! with low confidence.

mod report;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, io::BufRead, time::Duration};

use picket_domain::{InputFile, Invocation, Observation, Shard, ToolOutput};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Appetite, Context, Format, Head, ParamsError, Parsed, Rate, TaskShape, Tool,
    import::Import,
    site::{self, Start},
    typed::{self, Port, RootPath, Within},
};

const REPORT: &str = "/scratch/report.json";
const WORDS: &str = "/input/words.txt";
/// Written by us: one path per line, without the slash before it. The first line is empty: the start page itself, so that
/// a site that answers always shows in the report.
pub(super) const WORD_LIST: &str = include_str!("../../data/wordlist.txt");
const THREADS: u32 = 5;
const MAX_EXTENSIONS: usize = 4;
/// Of the fifteen minutes of a run; the rest is for slow answers.
const TRYING_SECONDS: u32 = 13 * 60;
const DEFAULT_RATE: u32 = 20;
const MAX_RATE: u32 = 50;
/// The option with the seconds that each thread waits between its requests.
const PAUSE: &str = "-p";

pub(super) struct Adapter;
struct Json;

pub(super) const FORMATS: &[&dyn Format] = &[
    &Import { tool: "ffuf", name: "csv", blanks: &[], recognizes: report::is_csv, read: report::read_csv },
    &Json,
    &Import { tool: "ffuf", name: "jsonl", blanks: &[""], recognizes: report::is_lines, read: report::read_lines },
];

/// What a client may ask for.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Params {
    /// The port; 80 without it, 443 with `tls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<Port>,
    /// Whether to speak TLS; true on port 443 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<bool>,
    /// The folder below which paths are tried.
    path: RootPath,
    /// Endings to try besides, at most four.
    extensions: Vec<Extension>,
    /// The most requests per second, at most 50; 20 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<Within<1, MAX_RATE>>,
}

/// An ending of a file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Extension {
    Asp,
    Aspx,
    Bak,
    Html,
    Json,
    Jsp,
    Old,
    Php,
    Sql,
    Txt,
    Xml,
    Zip,
}

impl Extension {
    const fn text(self) -> &'static str {
        match self {
            Self::Asp => ".asp",
            Self::Aspx => ".aspx",
            Self::Bak => ".bak",
            Self::Html => ".html",
            Self::Json => ".json",
            Self::Jsp => ".jsp",
            Self::Old => ".old",
            Self::Php => ".php",
            Self::Sql => ".sql",
            Self::Txt => ".txt",
            Self::Xml => ".xml",
            Self::Zip => ".zip",
        }
    }
}

/// Seconds that each thread rests between two requests, so that all of them make no more than that many a second: rounded up
/// to what ffuf is told.
fn pause(per_second: u32) -> f64 {
    (f64::from(THREADS) / f64::from(per_second.max(1)) * 100.0).ceil() / 100.0
}

impl Params {
    fn read(params: Option<&Value>) -> Result<Self, ParamsError> {
        let mut params: Self = typed::read(params)?;
        params.extensions.sort_unstable();
        params.extensions.dedup();
        if params.extensions.len() > MAX_EXTENSIONS {
            return Err(ParamsError::of("extensions", "too_many", "expected at most 4 endings"));
        }
        let least = params.least_rate();
        if params.rate() < least {
            let message = format!("expected at least {least} requests per second: else the paths with their endings take longer than a run may");
            return Err(ParamsError::of("rate", "too_slow", &message));
        }
        Ok(params)
    }

    fn rate(&self) -> u32 {
        self.rate.map_or(DEFAULT_RATE, |rate| rate.0)
    }

    /// Requests per second with which all paths are tried in time.
    fn least_rate(&self) -> u32 {
        let paths = WORD_LIST.lines().count().saturating_mul(self.extensions.len().saturating_add(1));
        u32::try_from(paths).unwrap_or(u32::MAX).div_ceil(TRYING_SECONDS)
    }

    fn args(&self, start: &Start) -> Vec<String> {
        let mut args = site::words(&[
            "-s", "-ac", "-of", "json", "-o", REPORT, "-w", WORDS, "-timeout", "10", "-mc", "200,204,301,302,307,401,403,500",
        ]);
        // Older versions know no rate, so every thread waits between its requests.
        let pause = pause(self.rate());
        args.extend(["-t".to_owned(), THREADS.to_string(), PAUSE.to_owned(), format!("{pause:.2}")]);
        if !self.extensions.is_empty() {
            let extensions: Vec<&str> = self.extensions.iter().map(|extension| extension.text()).collect();
            args.extend(["-e".to_owned(), extensions.join(",")]);
        }
        args.extend(["-u".to_owned(), format!("{}/FUZZ", start.url().trim_end_matches('/'))]);
        args
    }
}

impl Format for Json {
    fn tool(&self) -> &'static str {
        "ffuf"
    }

    fn name(&self) -> &'static str {
        "json"
    }

    fn recognizes(&self, head: &Head<'_>) -> bool {
        head.is_json('{', &["commandline", "time", "results"])
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        report::parse(input, context, sink)
    }
}

impl Tool for Adapter {
    fn slug(&self) -> &'static str {
        "ffuf"
    }

    fn title(&self) -> &'static str {
        "ffuf"
    }

    fn category(&self) -> &'static str {
        "web"
    }

    fn description(&self) -> &'static str {
        "Tries well-known paths of a web site that should not be served."
    }

    fn is_passive(&self) -> bool {
        false
    }

    fn shapes(&self, params: Option<&Value>) -> Result<Vec<TaskShape>, ParamsError> {
        let params = typed::canonical(&Params::read(params)?);
        site::shapes::<Params>(Some(&params))
    }

    fn params_schema(&self) -> Value {
        typed::schema::<Params>()
    }

    fn invocation(&self, params: &Value, shard: &Shard) -> Result<Invocation, ParamsError> {
        let params = Params::read(Some(params))?;
        let start = Start::of(params.port, params.tls, &params.path, shard)?;
        let words = InputFile { path: WORDS, content: Cow::Borrowed(WORD_LIST.as_bytes()) };
        let run = start.run("ffuf", "/usr/bin/ffuf", params.args(&start), shard);
        Ok(Invocation { input_files: vec![words], output: ToolOutput::File(REPORT), ..run })
    }

    fn rate(&self) -> Option<Rate> {
        Some(Rate { usual: DEFAULT_RATE, most: MAX_RATE })
    }

    fn slow_down(&self, args: &mut [String], per_second: u32) {
        let least = pause(per_second);
        let place = args.iter().position(|arg| arg == PAUSE).map(|place| place.saturating_add(1));
        let Some(pause) = place.and_then(|place| args.get_mut(place)) else { return };
        if pause.parse::<f64>().is_ok_and(|pause| pause < least) {
            *pause = format!("{least:.2}");
        }
    }

    /// Go reserves far more address space than it uses.
    fn appetite(&self) -> Appetite {
        Appetite { wall: Duration::from_secs(15 * 60), memory_bytes: 4 << 30, output_bytes: 16 << 20, ..Appetite::DEFAULT }
    }

    fn format(&self) -> &'static dyn Format {
        &Json
    }

    fn exit_is_ok(&self, code: i32) -> bool {
        code == 0
    }
}
