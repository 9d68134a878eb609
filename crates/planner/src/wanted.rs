//! What a scan is to do, apart from whom it looks at: one tool with parameters, or a plan with options. A saved profile is
//! such a thing with a name. Nothing of it is trusted before [`Wanted::check`] or a plan was made of it.

use picket_domain::{Dialect, NewScan, Plan, RunLimits, ScanLimits};
use picket_scanners::{Asked, ScanSpec, find};
use serde_json::{Value, json};

use super::{Asker, PlanRefused, Planner, ScanOptions, ToolRequest};

/// What a scan is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// One tool.
    Tool {
        /// The tool's slug as the client wrote it.
        tool: String,
        /// The tool's parameters; `None` means its defaults.
        parameters: Option<Value>,
        /// Limits of its runs.
        limits: ScanLimits,
    },
    /// A plan.
    Options {
        /// The plan.
        plan: Plan,
        /// What it looks at.
        options: ScanOptions,
        /// Limits of the runs of its tools.
        limits: ScanLimits,
    },
}

impl Wanted {
    /// As it is stored.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut stored = match self {
            Self::Tool { tool, parameters, .. } => json!({ "tool": tool, "parameters": parameters }),
            Self::Options { plan, options, .. } => json!({ "scan_type": plan, "options": options.to_json() }),
        };
        if let Some(fields) = stored.as_object_mut().filter(|_| !self.limits().is_empty()) {
            fields.insert("limits".to_owned(), json!(self.limits()));
        }
        stored
    }

    /// Limits of its runs, by tool.
    #[must_use]
    pub const fn limits(&self) -> &ScanLimits {
        match self {
            Self::Tool { limits, .. } | Self::Options { limits, .. } => limits,
        }
    }

    /// As `to_json` wrote it; `None` for everything else.
    #[must_use]
    pub fn from_json(stored: &Value) -> Option<Self> {
        let limits = match stored.get("limits") {
            Some(limits) => serde_json::from_value(limits.clone()).ok()?,
            None => ScanLimits::default(),
        };
        if let Some(tool) = stored.get("tool") {
            let parameters = stored.get("parameters").filter(|parameters| !parameters.is_null()).cloned();
            return Some(Self::Tool { tool: tool.as_str()?.to_owned(), parameters, limits });
        }
        let plan = Plan::find(stored.get("scan_type")?.as_str()?)?;
        Some(Self::Options { plan, options: ScanOptions::from_json(stored.get("options")?), limits })
    }

    /// Whether a scan could be made of it, but for its limits.
    ///
    /// # Errors
    /// As for the scan, but for everything about a target.
    pub fn check(&self) -> Result<(), PlanRefused> {
        match self {
            Self::Tool { tool, parameters, .. } => {
                Ok(ScanSpec::try_from(Asked { tool, parameters: parameters.as_ref() }).map(|_| ())?)
            }
            Self::Options { options, .. } if options.is_empty() => Err(nothing_to_do()),
            Self::Options { .. } => Ok(()),
        }
    }

    /// Whether its limits are those of tools that it can run, and lie between what is of use and what such a run has anyway: the
    /// operator's seconds, or the tool's where those are more, and the tool's rate.
    ///
    /// # Errors
    /// The first limit that does not fit, as `limits.nmap.seconds`.
    pub fn check_limits(&self, operators_seconds: u32) -> Result<(), PlanRefused> {
        self.limits().iter().try_for_each(|(slug, limits)| {
            let fault = |part: &str, code, message: String| {
                let part = if part.is_empty() { String::new() } else { format!(".{part}") };
                Err(PlanRefused::field(format!("limits.{slug}{part}"), code, message))
            };
            let Some(tool) = find(slug) else {
                return Err(PlanRefused::field("limits", "unknown_tool", "expected tools of the catalogue"));
            };
            if matches!(self, Self::Tool { tool, .. } if tool != slug) {
                return fault("", "conflict", "expected limits of the profile's own tool".to_owned());
            }
            if *limits == RunLimits::default() {
                return fault("", "missing_field", "expected `seconds` or `rate`".to_owned());
            }
            let most = u32::try_from(tool.appetite().wall.as_secs()).unwrap_or(u32::MAX).max(operators_seconds);
            if limits.seconds.is_some_and(|seconds| !(ScanLimits::SHORTEST..=most).contains(&seconds)) {
                let message = format!("expected {} to {most} seconds", ScanLimits::SHORTEST);
                return fault("seconds", "out_of_range", message);
            }
            match (limits.rate, tool.rate()) {
                (Some(_), None) => {
                    fault("rate", "not_supported", "expected no rate: the tool cannot be told one".to_owned())
                }
                (Some(rate), Some(of)) if !(1..=of.most).contains(&rate) => {
                    fault("rate", "out_of_range", format!("expected 1 to {} in a second", of.most))
                }
                (Some(_) | None, _) => Ok(()),
            }
        })
    }
}

/// A plan that looks at nothing.
pub(super) fn nothing_to_do() -> PlanRefused {
    PlanRefused::field("options", "nothing_to_do", "expected at least one option that is true")
}

impl Planner {
    /// Plans a scan of `target`, asked for under that dialect.
    ///
    /// # Errors
    /// As [`Planner::plan_tool`] and [`Planner::plan_options`].
    pub async fn plan(
        &self,
        asker: &Asker,
        (target, notify): (&str, &[String]),
        wanted: &Wanted,
        dialect: Dialect,
    ) -> Result<NewScan, PlanRefused> {
        let planned = match wanted {
            Wanted::Tool { tool, parameters, .. } => {
                let request = ToolRequest { target, tool, parameters: parameters.as_ref(), notify };
                self.plan_tool(asker, request).await?
            }
            Wanted::Options { plan, options, .. } => self.plan_options(asker, target, *plan, *options).await?,
        };
        Ok(NewScan { dialect, notify: notify.to_vec(), limits: wanted.limits().clone(), ..planned })
    }
}

/// A profile that everybody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    /// Its id and its name.
    pub name: &'static str,
    /// What it is for, in one sentence.
    pub description: &'static str,
    plan: Plan,
    options: ScanOptions,
}

impl BuiltIn {
    /// The profiles that everybody has. Their version is that of the program.
    pub const ALL: [Self; 4] = [
        Self {
            name: "quick",
            description: "The 100 most common ports and their services.",
            plan: Plan::Quick,
            options: ScanOptions::of(Plan::Quick),
        },
        Self {
            name: "full",
            description: "The 1,000 most common ports, and every TLS, SSH and web service behind them.",
            plan: Plan::Full,
            options: ScanOptions::of(Plan::Full),
        },
        Self {
            name: "web",
            description: "The web sites behind the 1,000 most common ports.",
            plan: Plan::Custom,
            options: ScanOptions { port_scan: true, web_scan: true, ..ScanOptions::of(Plan::Custom) },
        },
        Self {
            name: "ssl",
            description: "The TLS services behind the 1,000 most common ports, and their certificates.",
            plan: Plan::Custom,
            options: ScanOptions { port_scan: true, ssl_scan: true, ..ScanOptions::of(Plan::Custom) },
        },
    ];

    /// The profile of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name == name)
    }

    /// What it does.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        Wanted::Options { plan: self.plan, options: self.options, limits: ScanLimits::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_read_as_it_was_stored() {
        let limits: ScanLimits =
            [("nmap".to_owned(), RunLimits { seconds: Some(60), rate: None })].into_iter().collect();
        let tool = |parameters| Wanted::Tool { tool: "nmap".to_owned(), parameters, limits: limits.clone() };
        let options = BuiltIn::ALL.map(|one| one.wanted());
        for wanted in options.into_iter().chain([tool(None), tool(Some(json!({"ports": "80"})))]) {
            assert_eq!(Wanted::from_json(&wanted.to_json()), Some(wanted.clone()));
            assert_eq!(wanted.check(), Ok(()));
        }
        for strange in [json!(null), json!({}), json!({"tool": 1}), json!({"scan_type": "x", "options": {}})] {
            assert_eq!(Wanted::from_json(&strange), None, "{strange}");
        }
    }

    #[test]
    fn what_no_scan_could_be_made_of_is_refused_with_its_field() {
        let tool = |tool: &str, parameters| Wanted::Tool {
            tool: tool.to_owned(),
            parameters: Some(parameters),
            limits: ScanLimits::default(),
        };
        let field = |wanted: Wanted| match wanted.check() {
            Err(PlanRefused::Field { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(tool("sh", json!({}))), "tool");
        assert_eq!(field(tool("nmap", json!({"ports": "; id"}))), "parameters.ports");
        let options = ScanOptions::of(Plan::Custom);
        let limits = ScanLimits::default();
        assert_eq!(field(Wanted::Options { plan: Plan::Custom, options, limits }), "options");
    }

    #[test]
    fn limits_lie_between_what_is_of_use_and_what_a_run_has_anyway() {
        let check = |slug: &str, seconds, rate| {
            let limits = [(slug.to_owned(), RunLimits { seconds, rate })].into_iter().collect();
            let plan = Wanted::Options { plan: Plan::Full, options: ScanOptions::of(Plan::Full), limits };
            plan.check_limits(2_100).map_err(|refused| match refused {
                PlanRefused::Field { field, .. } => field,
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(check("nmap", Some(10), Some(1)), Ok(()));
        assert_eq!(check("nmap", Some(2_100), Some(1_000)), Ok(()));
        assert_eq!(check("whatweb", Some(2_100), None), Ok(()), "the operator's, where the tool itself needs less");
        let refused = |field: &str| Err(field.to_owned());
        assert_eq!(check("nmap", Some(9), None), refused("limits.nmap.seconds"));
        assert_eq!(check("whatweb", Some(2_101), None), refused("limits.whatweb.seconds"));
        assert_eq!(check("nmap", None, Some(0)), refused("limits.nmap.rate"));
        assert_eq!(check("nmap", None, Some(1_001)), refused("limits.nmap.rate"));
        assert_eq!(check("testssl", None, Some(1)), refused("limits.testssl.rate"));
        assert_eq!(check("nmap", None, None), refused("limits.nmap"));
        assert_eq!(check("sh", Some(60), None), refused("limits"));
        let limits = [("ffuf".to_owned(), RunLimits { seconds: Some(60), rate: None })].into_iter().collect();
        let one = Wanted::Tool { tool: "nmap".to_owned(), parameters: None, limits };
        assert!(one.check_limits(2_100).is_err(), "of another tool");
    }
}
