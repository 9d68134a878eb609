//! The policy of a gate as a client states it. What is not known here is refused, so that a gate never passes because it
//! did not understand a condition.

use std::collections::BTreeMap;

use picket_domain::{Confidence, GatePolicy, ScanId, Severity};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::{Problem, routes::scans::v1::compare};

/// What a scan must come to.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct GateParamsV1 {
    /// No finding may be as bad as this; `high` when absent, `none` for no such limit.
    #[param(inline)]
    fail_on: Option<FailOn>,
    /// At most so many critical findings; this and the next four go before `fail_on`.
    max_critical: Option<u32>,
    /// At most so many high findings.
    max_high: Option<u32>,
    /// At most so many medium findings.
    max_medium: Option<u32>,
    /// At most so many low findings.
    max_low: Option<u32>,
    /// At most so many info findings; unrated ones count as info.
    max_info: Option<u32>,
    /// Whether only findings are judged that the base did not have (`new` and `reopened` in `compare`); without a base all
    /// of them.
    only_new: Option<bool>,
    /// With `only_new`: the scan to compare with; the one of the same target before this one when absent.
    base: Option<String>,
    /// Findings that are less sure are not judged; `low` when absent, which is all.
    #[param(inline)]
    min_confidence: Option<LeastConfidence>,
    /// Whether gaps in the coverage are accepted; that nothing was looked at never is.
    allow_incomplete: Option<bool>,
    /// `json` when absent; `sarif` lists all findings of the scan as SARIF 2.1.0, with the verdict in the run's properties.
    #[param(inline)]
    format: Option<GateFormat>,
}

/// The least severity that fails.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum FailOn {
    Critical,
    High,
    Medium,
    Low,
    Info,
    None,
}

/// How sure a finding must be.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum LeastConfidence {
    Low,
    Medium,
    High,
}

/// The form of the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum GateFormat {
    #[default]
    Json,
    Sarif,
}

/// With what the scan is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// With nothing.
    None,
    /// With the one before.
    Previous,
    /// With this one.
    Named(ScanId),
}

/// Checked parameters.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) policy: GatePolicy,
    pub(super) base: Base,
    pub(super) least_confidence: Confidence,
    pub(super) format: GateFormat,
}

impl GateParamsV1 {
    /// What the parameters ask of that scan.
    pub(super) fn check(self, scan: ScanId) -> Result<Wanted, Problem> {
        let base = match (self.only_new.unwrap_or(false), self.base.as_deref()) {
            (false, Some(_)) => {
                return Err(Problem::field("base", "not_allowed", "expected a base with `only_new=true` alone"));
            }
            (false, None) => Base::None,
            (true, None) => Base::Previous,
            (true, Some(text)) => Base::Named(compare::base(text, scan)?),
        };
        let most: BTreeMap<Severity, u64> = [
            (Severity::Critical, self.max_critical),
            (Severity::High, self.max_high),
            (Severity::Medium, self.max_medium),
            (Severity::Low, self.max_low),
            (Severity::Info, self.max_info),
        ]
        .into_iter()
        .filter_map(|(severity, most)| Some((severity, u64::from(most?))))
        .collect();
        let allows_gaps = self.allow_incomplete.unwrap_or(false);
        let policy = GatePolicy { fail_on: self.fail_on.unwrap_or(FailOn::High).severity(), most, allows_gaps };
        let least_confidence = self.min_confidence.map_or(Confidence::Low, LeastConfidence::confidence);
        Ok(Wanted { policy, base, least_confidence, format: self.format.unwrap_or_default() })
    }
}

impl FailOn {
    const fn severity(self) -> Option<Severity> {
        match self {
            Self::Critical => Some(Severity::Critical),
            Self::High => Some(Severity::High),
            Self::Medium => Some(Severity::Medium),
            Self::Low => Some(Severity::Low),
            Self::Info => Some(Severity::Info),
            Self::None => None,
        }
    }
}

impl LeastConfidence {
    const fn confidence(self) -> Confidence {
        match self {
            Self::Low => Confidence::Low,
            Self::Medium => Confidence::Medium,
            Self::High => Confidence::High,
        }
    }
}
