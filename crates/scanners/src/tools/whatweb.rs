//! Recognizes the software of a web site: server, framework, content management, libraries (WhatWeb 0.5).
//!
//! `aggression` 1 asks for the start page alone, 3 asks for a few more pages where a plugin wants to know a version.
//! Redirects are not followed. `tls` defaults to true on port 443 and to false elsewhere.
//!
//! One finding per page names everything that was recognized. Versions come from headers and pages, so a site that hides
//! them hides them from this tool as well.

mod brief;
mod report;
#[cfg(test)]
mod tests;
mod xml;

use std::{io::BufRead, time::Duration};

use picket_domain::{Invocation, Observation, Shard, ToolOutput};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Appetite, Context, Format, Head, ParamsError, Parsed, TaskShape, Tool,
    import::Import,
    site::{self, Start},
    typed::{self, Port, RootPath},
};

const REPORT: &str = "/scratch/report.json";

pub(super) struct Adapter;
struct Json;

pub(super) const FORMATS: &[&dyn Format] = &[
    &Import { tool: "whatweb", name: "brief", blanks: &[], recognizes: brief::recognizes, read: brief::read },
    &Json,
    &Import { tool: "whatweb", name: "xml", blanks: &[], recognizes: xml::recognizes, read: xml::read },
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
    /// The page to begin with.
    path: RootPath,
    /// How much is asked for.
    aggression: Aggression,
}

/// 1 is one page, 3 a few more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Aggression {
    #[default]
    Stealthy,
    Aggressive,
}

impl Aggression {
    const fn number(self) -> u8 {
        match self {
            Self::Stealthy => 1,
            Self::Aggressive => 3,
        }
    }
}

impl Serialize for Aggression {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for Aggression {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            1 => Ok(Self::Stealthy),
            3 => Ok(Self::Aggressive),
            _ => Err(serde::de::Error::custom("expected 1 or 3")),
        }
    }
}

impl JsonSchema for Aggression {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Aggression".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "integer", "enum": [1, 3]})
    }

    fn inline_schema() -> bool {
        true
    }
}

impl Format for Json {
    fn tool(&self) -> &'static str {
        "whatweb"
    }

    fn name(&self) -> &'static str {
        "json"
    }

    fn blanks(&self) -> &'static [&'static str] {
        &["", "[]"]
    }

    fn recognizes(&self, head: &Head<'_>) -> bool {
        head.is_json('[', &["target", "http_status", "plugins"])
    }

    fn parse(&self, input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
        report::parse(input, context, sink)
    }
}

impl Tool for Adapter {
    fn slug(&self) -> &'static str {
        "whatweb"
    }

    fn title(&self) -> &'static str {
        "WhatWeb"
    }

    fn category(&self) -> &'static str {
        "web"
    }

    fn description(&self) -> &'static str {
        "Recognizes the software a web site is made with, and its versions."
    }

    fn is_passive(&self) -> bool {
        true
    }

    /// One request for the start page; another path may be one that does something.
    fn is_passive_with(&self, params: &Value) -> bool {
        let params: Result<Params, _> = typed::read(Some(params));
        params.is_ok_and(|params| params.aggression == Aggression::Stealthy && params.path == RootPath::default())
    }

    fn shapes(&self, params: Option<&Value>) -> Result<Vec<TaskShape>, ParamsError> {
        site::shapes::<Params>(params)
    }

    fn params_schema(&self) -> Value {
        typed::schema::<Params>()
    }

    fn invocation(&self, params: &Value, shard: &Shard) -> Result<Invocation, ParamsError> {
        let params: Params = typed::read(Some(params))?;
        let start = Start::of(params.port, params.tls, &params.path, shard)?;
        let mut args = site::words(&[
            "--quiet", "--no-errors", "--color=never", "--follow-redirect=never", "--max-threads=2", "--open-timeout=10", "--read-timeout=20",
        ]);
        args.push(format!("--aggression={}", params.aggression.number()));
        args.push(format!("--log-json={REPORT}"));
        args.push(start.url());
        Ok(Invocation { output: ToolOutput::File(REPORT), ..start.run("whatweb", "/usr/bin/whatweb", args, shard) })
    }

    fn appetite(&self) -> Appetite {
        Appetite { wall: Duration::from_secs(3 * 60), output_bytes: 16 << 20, ..Appetite::DEFAULT }
    }

    fn format(&self) -> &'static dyn Format {
        &Json
    }

    fn exit_is_ok(&self, code: i32) -> bool {
        code == 0
    }
}
