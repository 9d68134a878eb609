//! Results of any analyzer in SARIF 2.1.0 (OASIS). Import only.
//!
//! A result at a web address is a finding of that host. A result in a file is of no host: its host is what the import names,
//! else `repository`, and its subject is the file and line. The number `security-severity` of a result or its rule decides
//! how bad it is, else the level: error is high, warning medium, note and none info. Results that were suppressed by all who
//! were asked, that passed, or that are gone since the baseline are left out.

mod found;
mod rule;

use std::io::BufRead;

use picket_domain::Gap;
use serde_json::Value;

use self::{found::Found, rule::Rules};
use crate::{
    Context, Format, Head, Parsed,
    import::{self, Import},
    json::{self, EACH},
    tally::Tally,
    text,
};

pub(super) const FORMATS: &[&dyn Format] = &[&Import { tool: "sarif", name: "sarif", blanks: &[], recognizes, read }];

/// Results that came before their rules and wait for them.
const MAX_WAITING: usize = 5_000;

const PATHS: &[&[&str]] = &[
    &["version"],
    &["runs", EACH],
    &["runs", EACH, "tool"],
    &["runs", EACH, "tool", "driver", "name"],
    &["runs", EACH, "tool", "driver", "rules"],
    &["runs", EACH, "tool", "extensions", EACH, "rules"],
    &["runs", EACH, "tool", "extensions", EACH],
    &["runs", EACH, "results"],
    &["runs", EACH, "invocations"],
    // What can be long and is not needed.
    &["inlineExternalProperties"],
    &["runs", EACH, "artifacts"],
    &["runs", EACH, "logicalLocations"],
    &["runs", EACH, "threadFlowLocations"],
    &["runs", EACH, "graphs"],
    &["runs", EACH, "taxonomies"],
    &["runs", EACH, "webRequests"],
    &["runs", EACH, "webResponses"],
    &["runs", EACH, "tool", "driver", "taxa"],
    &["runs", EACH, "tool", "driver", "notifications"],
    &["runs", EACH, "tool", "extensions", EACH, "taxa"],
    &["runs", EACH, "tool", "extensions", EACH, "notifications"],
];

fn recognizes(head: &Head<'_>) -> bool {
    let is_named = head.text.contains("sarif") || head.has_key("driver") || head.has_key("version");
    head.is_json('{', &["runs"]) && is_named && !head.has_key("bomFormat")
}

/// The log while it is being read.
#[derive(Default)]
struct Log {
    version: String,
    runs: u64,
    driver: String,
    rules: Rules,
    is_tool_known: bool,
    waiting: Vec<Found>,
    is_blind: bool,
    failure: Option<String>,
}

fn read(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let mut log = Log::default();
    let end = json::watch(input, PATHS, &mut |path, value| log.hear(path, &value, context, &mut tally));
    match end {
        Err(fault) => {
            // What waits for rules that will not come any more.
            log.flush(context, &mut tally);
            import::end(tally, Some(&fault))
        }
        Ok(_) if !log.version.is_empty() && !log.version.starts_with("2.1") => {
            tally.refuse("expected version 2.1.0 of SARIF")
        }
        Ok(_) if log.runs == 0 => import::incomplete(tally, "the log holds no run"),
        Ok(_) if log.is_blind => tally.end(Some((
            Gap::OutputTruncated,
            "the rules came behind more results than can be held, so that some severities are unknown".to_owned(),
        ))),
        Ok(_) => tally.end(log.failure.map(|reason| (Gap::ToolFailed, reason))),
    }
}

impl Log {
    fn hear(&mut self, path: usize, value: &Value, context: &Context<'_>, tally: &mut Tally<'_>) {
        match path {
            0 => self.version = text::line(value.as_str().unwrap_or_default(), 20),
            1 => self.end_run(value, context, tally),
            2 => {
                self.is_tool_known = true;
                self.flush(context, tally);
            }
            3 => self.driver = text::line(value.as_str().unwrap_or_default(), 100),
            4 => self.rules.add(0, value),
            5 => self.rules.add_to_extension(value),
            6 => self.rules.end_extension(),
            // Null says that there are no results, for instance of a run that only tells its rules.
            7 if value.is_null() => {}
            7 => self.hear_result(value, context, tally),
            8 => self.hear_invocation(value),
            _ => {}
        }
    }

    fn hear_result(&mut self, value: &Value, context: &Context<'_>, tally: &mut Tally<'_>) {
        if !value.is_object() {
            return tally.garbled();
        }
        let Some(found) = Found::read(value) else { return };
        if self.is_tool_known {
            tally.tell(found.observed(&self.driver, &self.rules, context));
        } else if self.waiting.len() < MAX_WAITING {
            self.waiting.push(found);
        } else {
            self.is_blind = true;
            tally.tell(found.observed("sarif", &self.rules, context));
        }
    }

    fn flush(&mut self, context: &Context<'_>, tally: &mut Tally<'_>) {
        for found in std::mem::take(&mut self.waiting) {
            tally.tell(found.observed(&self.driver, &self.rules, context));
        }
    }

    fn hear_invocation(&mut self, invocation: &Value) {
        if invocation.get("executionSuccessful") == Some(&Value::Bool(false)) {
            self.failure = Some(format!("{} says that its run failed", self.driver));
        }
    }

    fn end_run(&mut self, run: &Value, context: &Context<'_>, tally: &mut Tally<'_>) {
        self.flush(context, tally);
        if run.is_object() { self.runs = self.runs.saturating_add(1) } else { tally.garbled() }
        let kept = std::mem::take(self);
        *self = Self {
            version: kept.version,
            runs: kept.runs,
            is_blind: kept.is_blind,
            failure: kept.failure,
            ..Self::default()
        };
    }
}
