//! The report that a schedule asks for, as it is kept: of whatever was scanned in the days before.

use serde::{Deserialize, Serialize};

use crate::ReportFormat;

/// A report of the scans that completed lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportOrder {
    /// Its form.
    pub format: ReportFormat,
    /// Whether it begins with the numbers and what they mean.
    pub include_executive_summary: bool,
    /// Whether it describes every finding with its evidence.
    pub include_technical_details: bool,
    /// How far it looks back, in days.
    pub days: u16,
    /// The target whose scans it covers, canonical; all of them when absent.
    pub target: Option<String>,
}

impl ReportOrder {
    /// The furthest that it looks back, in days.
    pub const MOST_DAYS: u16 = 366;
}
