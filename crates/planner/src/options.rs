//! The options of the v2 dialect, and which tools do which. To give an option its tools: a function like `port_scan`, and its
//! line in `grow.rs` when it waits for the open ports.

use picket_domain::Plan;
use picket_scanners::DISCOVERY;
use serde_json::{Value, json};

/// What a plan looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanOptions {
    /// Names below the target.
    pub include_subdomain: bool,
    /// Open ports and the services behind them.
    pub port_scan: bool,
    /// Web applications.
    pub web_scan: bool,
    /// TLS and certificates.
    pub ssl_scan: bool,
}

impl ScanOptions {
    /// What a plan looks at when the client names no option: a quick one at the ports, a full one at everything but
    /// further names, a custom one at what is chosen alone.
    #[must_use]
    pub const fn of(plan: Plan) -> Self {
        let (port_scan, others) = match plan {
            Plan::Quick => (true, false),
            Plan::Full => (true, true),
            Plan::Custom => (false, false),
        };
        Self { include_subdomain: false, port_scan, web_scan: others, ssl_scan: others }
    }

    /// Whether nothing at all is looked at.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        !(self.include_subdomain || self.port_scan || self.web_scan || self.ssl_scan)
    }

    /// As it is stored with the scan.
    #[must_use]
    pub fn to_json(self) -> Value {
        json!({
            "include_subdomain": self.include_subdomain,
            "port_scan": self.port_scan,
            "web_scan": self.web_scan,
            "ssl_scan": self.ssl_scan,
        })
    }

    /// As `to_json` wrote it; what is missing there was not asked for.
    #[must_use]
    pub fn from_json(stored: &Value) -> Self {
        let is_wanted = |name: &str| stored.get(name).and_then(Value::as_bool).unwrap_or(false);
        Self {
            include_subdomain: is_wanted("include_subdomain"),
            port_scan: is_wanted("port_scan"),
            web_scan: is_wanted("web_scan"),
            ssl_scan: is_wanted("ssl_scan"),
        }
    }

    /// What is asked of which tool. An option without a tool yet is one that no run has.
    pub(super) fn runs(self, plan: Plan) -> Vec<Run> {
        let wanted = [
            (self.include_subdomain, INCLUDE_SUBDOMAIN, vec![(DISCOVERY.slug(), json!({}))]),
            (self.port_scan, PORT_SCAN, port_scan(plan)),
            (self.web_scan, WEB_SCAN, web_scan(plan)),
            (self.ssl_scan, SSL_SCAN, ssl_scan(plan)),
        ];
        let of_option = |(_, option, runs): (bool, &'static str, Vec<(&'static str, Value)>)| {
            runs.into_iter().map(move |(tool, params)| Run { option, tool, params })
        };
        wanted.into_iter().filter(|(is_wanted, ..)| *is_wanted).flat_map(of_option).collect()
    }

    /// What is planned from the result of the port scan, in place of a guess at the usual ports.
    pub(super) fn opened_by_ports(self, plan: Plan) -> Vec<&'static str> {
        let ssh = ssh_tools(plan).iter().map(|tool| (true, *tool));
        let all = [(self.web_scan, WEB_SCAN), (self.ssl_scan, SSL_SCAN)].into_iter().chain(ssh);
        all.filter(|(is_wanted, _)| self.port_scan && *is_wanted).map(|(_, name)| name).collect()
    }

    /// The options that were asked for, by name.
    pub(super) fn names(self) -> Vec<&'static str> {
        let all = [
            (self.include_subdomain, INCLUDE_SUBDOMAIN),
            (self.port_scan, PORT_SCAN),
            (self.web_scan, WEB_SCAN),
            (self.ssl_scan, SSL_SCAN),
        ];
        all.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, name)| name).collect()
    }
}

pub(super) const INCLUDE_SUBDOMAIN: &str = "include_subdomain";
const PORT_SCAN: &str = "port_scan";
pub(super) const WEB_SCAN: &str = "web_scan";
pub(super) const SSL_SCAN: &str = "ssl_scan";
pub(super) const SSH_AUDIT: &str = "ssh-audit";

/// What a plan asks of one tool.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    /// The option that it belongs to.
    pub(super) option: &'static str,
    /// The tool's slug; the catalogue may not have it.
    pub(super) tool: &'static str,
    /// Its parameters.
    pub(super) params: Value,
}

fn port_scan(plan: Plan) -> Vec<(&'static str, Value)> {
    let params = match plan {
        Plan::Quick => json!({"scan_type": "-sV", "top_ports": 100, "timing": "-T4"}),
        Plan::Full | Plan::Custom => json!({"scan_type": "-sV -sC", "top_ports": 1000, "timing": "-T4"}),
    };
    vec![("nmap", params)]
}

/// The tools that look at a TLS service.
pub(super) const fn tls_tools(plan: Plan) -> &'static [&'static str] {
    match plan {
        Plan::Quick | Plan::Custom => &["sslscan"],
        Plan::Full => &["sslscan", "testssl"],
    }
}

/// The tool that tells what a web site is.
pub(super) const FIRST_WEB_TOOL: &str = "whatweb";

/// The tools that look deeper into a web site once it is known to be one.
pub(super) const fn deeper_web_tools(plan: Plan) -> &'static [&'static str] {
    match plan {
        Plan::Quick => &[],
        Plan::Custom => &["ffuf"],
        Plan::Full => &["ffuf", "wapiti"],
    }
}

/// The tools that look at an SSH service.
pub(super) const fn ssh_tools(plan: Plan) -> &'static [&'static str] {
    match plan {
        Plan::Quick | Plan::Custom => &[],
        Plan::Full => &[SSH_AUDIT],
    }
}

/// The usual port, where no port scan tells of others.
fn ssl_scan(plan: Plan) -> Vec<(&'static str, Value)> {
    tls_tools(plan).iter().map(|tool| (*tool, json!({"port": 443}))).collect()
}

/// The usual ports, as for [`ssl_scan`].
fn web_scan(plan: Plan) -> Vec<(&'static str, Value)> {
    let sites =
        |tool: &'static str| [(80, false), (443, true)].map(|(port, tls)| (tool, json!({"port": port, "tls": tls})));
    std::iter::once(FIRST_WEB_TOOL).chain(deeper_web_tools(plan).iter().copied()).flat_map(sites).collect()
}

#[cfg(test)]
mod tests {
    use picket_scanners::{Asked, ScanSpec, find};

    use super::*;

    #[test]
    fn options_are_read_as_they_were_stored() {
        for bits in 0..16_u8 {
            let [include_subdomain, port_scan, web_scan, ssl_scan] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
            let options = ScanOptions { include_subdomain, port_scan, web_scan, ssl_scan };
            assert_eq!(ScanOptions::from_json(&options.to_json()), options);
        }
    }

    #[test]
    fn the_parameters_of_every_plan_fit_their_tools() {
        let all = ScanOptions { include_subdomain: true, port_scan: true, web_scan: true, ssl_scan: true };
        for plan in Plan::ALL {
            let runs = all.runs(plan);
            assert!(["port_scan", "web_scan", "ssl_scan"].iter().all(|one| runs.iter().any(|run| run.option == *one)));
            for run in runs.iter().filter(|run| find(run.tool).is_some()) {
                let spec = ScanSpec::try_from(Asked { tool: run.tool, parameters: Some(&run.params) });
                assert_eq!(spec.unwrap().shapes().len(), 1, "{run:?} must not need raw sockets");
            }
        }
    }
}
