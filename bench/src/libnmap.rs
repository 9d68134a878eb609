//! python-libnmap beside our parser: the same kind of report, in the same run. It keeps everything it reads, so its report
//! is smaller than ours.

use std::{path::Path, process::Command};

use serde::Deserialize;

use crate::Failure;

/// Reads the report, then says how long that took and what it took of memory.
const PROGRAM: &str = r#"
import json, resource, sys, time
from libnmap.parser import NmapParser
began = time.perf_counter()
report = NmapParser.parse_fromfile(sys.argv[1])
ports = sum(len(host.get_open_ports()) for host in report.hosts)
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "peak_mb": peak * 1.024 / 1000, "ports": ports}))
"#;

/// What it saw.
#[derive(Debug, Deserialize)]
pub(crate) struct Seen {
    pub(crate) seconds: f64,
    pub(crate) peak_mb: f64,
    pub(crate) ports: u64,
}

/// `None`, and a message, where it cannot be had.
pub(crate) fn parse(report: &Path) -> Result<Option<Seen>, Failure> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("libnmap.sh");
    let found = Command::new(&script).output()?;
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    let mut lines = text.lines();
    let (true, Some(python), Some(site)) = (found.status.success(), lines.next(), lines.next()) else {
        eprintln!("skipped: python-libnmap: {}", String::from_utf8_lossy(&found.stderr).trim());
        return Ok(None);
    };
    let output = Command::new(python).args(["-c", PROGRAM]).arg(report).env("PYTHONPATH", site).output()?;
    if !output.status.success() {
        eprintln!("skipped: python-libnmap: {}", String::from_utf8_lossy(&output.stderr).trim());
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&output.stdout)?))
}
