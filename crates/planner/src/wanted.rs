//! What a scan is to do, apart from whom it looks at: one tool with parameters, or a plan with options. A saved profile is
//! such a thing with a name. Nothing of it is trusted before [`Wanted::check`] or a plan was made of it.

use picket_domain::{Dialect, NewScan, Plan};
use picket_scanners::{Asked, ScanSpec};
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
    },
    /// A plan.
    Options {
        /// The plan.
        plan: Plan,
        /// What it looks at.
        options: ScanOptions,
    },
}

impl Wanted {
    /// As it is stored.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Tool { tool, parameters } => json!({ "tool": tool, "parameters": parameters }),
            Self::Options { plan, options } => json!({ "scan_type": plan, "options": options.to_json() }),
        }
    }

    /// As `to_json` wrote it; `None` for everything else.
    #[must_use]
    pub fn from_json(stored: &Value) -> Option<Self> {
        if let Some(tool) = stored.get("tool") {
            let parameters = stored.get("parameters").filter(|parameters| !parameters.is_null()).cloned();
            return Some(Self::Tool { tool: tool.as_str()?.to_owned(), parameters });
        }
        let plan = Plan::find(stored.get("scan_type")?.as_str()?)?;
        Some(Self::Options { plan, options: ScanOptions::from_json(stored.get("options")?) })
    }

    /// Whether a scan could be made of it.
    ///
    /// # Errors
    /// As for the scan, but for everything about a target.
    pub fn check(&self) -> Result<(), PlanRefused> {
        match self {
            Self::Tool { tool, parameters } => {
                Ok(ScanSpec::try_from(Asked { tool, parameters: parameters.as_ref() }).map(|_| ())?)
            }
            Self::Options { options, .. } if options.is_empty() => Err(nothing_to_do()),
            Self::Options { .. } => Ok(()),
        }
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
            Wanted::Tool { tool, parameters } => {
                let request = ToolRequest { target, tool, parameters: parameters.as_ref(), notify };
                self.plan_tool(asker, request).await?
            }
            Wanted::Options { plan, options } => self.plan_options(asker, target, *plan, *options).await?,
        };
        Ok(NewScan { dialect, notify: notify.to_vec(), ..planned })
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
    pub const fn wanted(&self) -> Wanted {
        Wanted::Options { plan: self.plan, options: self.options }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_read_as_it_was_stored() {
        let tool = |parameters| Wanted::Tool { tool: "nmap".to_owned(), parameters };
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
        let tool = |tool: &str, parameters| Wanted::Tool { tool: tool.to_owned(), parameters: Some(parameters) };
        let field = |wanted: Wanted| match wanted.check() {
            Err(PlanRefused::Field { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(tool("sh", json!({}))), "tool");
        assert_eq!(field(tool("nmap", json!({"ports": "; id"}))), "parameters.ports");
        let options = ScanOptions::of(Plan::Custom);
        assert_eq!(field(Wanted::Options { plan: Plan::Custom, options }), "options");
    }
}
