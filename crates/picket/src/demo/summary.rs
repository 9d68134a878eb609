//! What came out of the demo, in the one line that scripts read.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// A demo that went well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DemoSummary {
    /// The scan.
    pub(crate) scan_id: String,
    /// How many findings it has.
    pub(crate) findings: u64,
    /// The PDF, relative to the working directory where it lies below it.
    pub(crate) report: PathBuf,
}

impl DemoSummary {
    /// The summary; `report` is shortened to what lies below `folder`.
    pub(super) fn new(scan_id: &str, findings: u64, report: &Path, folder: Option<&Path>) -> Self {
        let report = folder.and_then(|folder| report.strip_prefix(folder).ok()).unwrap_or(report);
        Self { scan_id: scan_id.to_owned(), findings, report: report.to_owned() }
    }
}

impl fmt::Display for DemoSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scan_id, findings, report } = self;
        write!(f, "demo: ok scan={scan_id} findings={findings} webhook=verified report={}", report.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_what_scripts_expect() {
        let summary =
            DemoSummary::new("scan_1", 27, Path::new("/a/target/demo/demo-report.pdf"), Some(Path::new("/a")));
        assert_eq!(
            summary.to_string(),
            "demo: ok scan=scan_1 findings=27 webhook=verified report=target/demo/demo-report.pdf"
        );
    }
}
