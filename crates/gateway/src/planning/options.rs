//! The options of the v2 dialect, and which tool does which. To give an option its tool: a function like `port_scan`, and
//! the option's line taken out of `without_tool`.

use picket_domain::Plan;
use picket_scanners::Tool;
use serde_json::{Value, json};

/// What a plan looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScanOptions {
    /// Names below the target.
    pub(crate) include_subdomain: bool,
    /// Open ports and the services behind them.
    pub(crate) port_scan: bool,
    /// Web applications.
    pub(crate) web_scan: bool,
    /// TLS and certificates.
    pub(crate) ssl_scan: bool,
}

impl ScanOptions {
    /// What a plan looks at when the client names no option: a quick one at the ports, a full one at everything but
    /// further names, a custom one at what is chosen alone.
    #[must_use]
    pub(crate) const fn of(plan: Plan) -> Self {
        let (port_scan, others) = match plan {
            Plan::Quick => (true, false),
            Plan::Full => (true, true),
            Plan::Custom => (false, false),
        };
        Self { include_subdomain: false, port_scan, web_scan: others, ssl_scan: others }
    }

    /// Whether nothing at all is looked at.
    #[must_use]
    pub(super) const fn is_empty(self) -> bool {
        !(self.include_subdomain || self.port_scan || self.web_scan || self.ssl_scan)
    }

    /// As it is stored with the scan.
    pub(super) fn to_json(self) -> Value {
        json!({
            "include_subdomain": self.include_subdomain,
            "port_scan": self.port_scan,
            "web_scan": self.web_scan,
            "ssl_scan": self.ssl_scan,
        })
    }

    /// The options that were asked for and that no tool does yet, by name.
    pub(super) fn without_tool(self) -> Vec<&'static str> {
        let lacking =
            [(self.include_subdomain, "include_subdomain"), (self.web_scan, "web_scan"), (self.ssl_scan, "ssl_scan")];
        lacking.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, name)| name).collect()
    }
}

/// The tool of `port_scan` and its parameters under a plan.
pub(super) fn port_scan(plan: Plan) -> Option<(&'static dyn Tool, Value)> {
    let params = match plan {
        Plan::Quick => json!({"scan_type": "-sV", "top_ports": 100, "timing": "-T4"}),
        Plan::Full | Plan::Custom => json!({"scan_type": "-sV -sC", "top_ports": 1000, "timing": "-T4"}),
    };
    picket_scanners::find("nmap").map(|tool| (tool, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_every_plan_fit_the_tool() {
        for plan in Plan::ALL {
            let (tool, params) = port_scan(plan).unwrap();
            let shapes = tool.shapes(Some(&params)).unwrap();
            assert_eq!(shapes.len(), 1, "{plan:?} must not need raw sockets");
        }
    }
}
