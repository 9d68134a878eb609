//! Whether a scan lets a build through. Only a scan that has ended and looked at everything can pass: of what was not
//! looked at nobody says that it is fine.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Coverage, CoverageState, ScanState, Severity, SeverityCounts};

/// The severities that are counted apart, worst first; unrated findings count as info.
const COUNTED: [Severity; 5] = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info];

/// What a scan must come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatePolicy {
    /// No finding may be as bad as this; `None` for no such limit.
    pub fail_on: Option<Severity>,
    /// At most so many findings of a severity; goes before [`Self::fail_on`].
    pub most: BTreeMap<Severity, u64>,
    /// Whether gaps in the coverage are accepted. That nothing was looked at never is.
    pub allows_gaps: bool,
}

impl GatePolicy {
    /// How many findings of the severity are accepted; `None` for any number.
    #[must_use]
    pub fn allowance(&self, severity: Severity) -> Option<u64> {
        let forbidden = || self.fail_on.filter(|least| severity >= *least).map(|_| 0);
        self.most.get(&severity).copied().or_else(forbidden)
    }
}

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GateVerdict {
    /// The scan looked at everything and the policy holds.
    Pass,
    /// The policy does not hold; nothing that the scan still finds can change that.
    Fail,
    /// The scan has not ended, and the policy holds so far.
    Pending,
    /// The policy holds for what was looked at, and that is not all.
    Incomplete,
}

impl GateVerdict {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Pending => "pending",
            Self::Incomplete => "incomplete",
        }
    }
}

/// Why a gate does not let a scan pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateReason {
    /// More findings of a severity than are accepted.
    TooMany {
        /// Of this one.
        severity: Severity,
        /// So many there are.
        found: u64,
        /// So many are accepted.
        most: u64,
    },
    /// The scan has not ended.
    NotEnded,
    /// The scan failed.
    Failed,
    /// No tool looked at anything.
    NothingExamined,
    /// It repeats only what another scan did not look at, so what that one found is not in it.
    PartOfAScan,
    /// Parts were not looked at, or not to the end.
    Gaps {
        /// So many lines of the coverage.
        lines: u64,
    },
}

impl GateReason {
    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooMany { .. } => "too_many_findings",
            Self::NotEnded => "scan_not_ended",
            Self::Failed => "scan_failed",
            Self::NothingExamined => "nothing_examined",
            Self::PartOfAScan => "scan_is_partial",
            Self::Gaps { .. } => "coverage_incomplete",
        }
    }
}

/// What a policy says of a scan: a verdict, and every reason against a pass. Without a reason, and only then, it passes.
#[must_use]
pub fn judge_gate(
    policy: &GatePolicy,
    counts: &SeverityCounts,
    state: &ScanState,
    is_partial: bool,
    coverage: &[Coverage],
) -> (GateVerdict, Vec<GateReason>) {
    let mut reasons: Vec<GateReason> = COUNTED.into_iter().filter_map(|one| exceeded(policy, counts, one)).collect();
    let is_exceeded = !reasons.is_empty();
    let is_looked_at = coverage.iter().any(|one| matches!(one.state, CoverageState::Done | CoverageState::Partial));
    if matches!(state, ScanState::Failed { .. }) {
        reasons.push(GateReason::Failed);
    } else if !state.is_final() {
        reasons.push(GateReason::NotEnded);
    } else if !is_looked_at {
        reasons.push(GateReason::NothingExamined);
    }
    if is_partial {
        reasons.push(GateReason::PartOfAScan);
    }
    let is_gap = |one: &&Coverage| match one.state {
        CoverageState::Done => false,
        CoverageState::Pending => state.is_final(),
        CoverageState::Partial | CoverageState::Skipped | CoverageState::Failed => true,
    };
    let lines = u64::try_from(coverage.iter().filter(is_gap).count()).unwrap_or(u64::MAX);
    if lines > 0 && !policy.allows_gaps {
        reasons.push(GateReason::Gaps { lines });
    }
    let verdict = match (is_exceeded, state.is_final(), reasons.is_empty()) {
        (true, _, _) => GateVerdict::Fail,
        (false, false, _) => GateVerdict::Pending,
        (false, true, true) => GateVerdict::Pass,
        (false, true, false) => GateVerdict::Incomplete,
    };
    (verdict, reasons)
}

fn exceeded(policy: &GatePolicy, counts: &SeverityCounts, severity: Severity) -> Option<GateReason> {
    let (found, most) = (counts.of(severity), policy.allowance(severity)?);
    (found > most).then_some(GateReason::TooMany { severity, found, most })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::Gap;

    fn policy(fail_on: Option<Severity>, most: &[(Severity, u64)]) -> GatePolicy {
        GatePolicy { fail_on, most: most.iter().copied().collect(), allows_gaps: false }
    }

    fn line(state: CoverageState) -> Coverage {
        let reason = (state != CoverageState::Done).then_some(Gap::TimedOut);
        Coverage { tool: "nmap".to_owned(), target: "192.0.2.1".to_owned(), state, reason, detail: None }
    }

    const ENDED: ScanState =
        ScanState::Completed { started_at: Timestamp::UNIX_EPOCH, ended_at: Timestamp::UNIX_EPOCH };
    const RUNNING: ScanState = ScanState::Running { started_at: Timestamp::UNIX_EPOCH };

    #[test]
    fn a_part_of_a_scan_never_passes_whatever_gaps_are_allowed() {
        let (none, done) = (SeverityCounts::default(), [line(CoverageState::Done)]);
        let policy = GatePolicy { allows_gaps: true, ..policy(Some(Severity::High), &[]) };
        let (verdict, reasons) = judge_gate(&policy, &none, &ENDED, true, &done);
        assert_eq!((verdict, reasons), (GateVerdict::Incomplete, vec![GateReason::PartOfAScan]));
    }

    #[test]
    fn a_finding_at_the_threshold_fails_and_one_below_it_does_not() {
        let counts = SeverityCounts { high: 1, low: 7, ..SeverityCounts::default() };
        let done = [line(CoverageState::Done)];
        for (fail_on, verdict) in [
            (Some(Severity::Critical), GateVerdict::Pass),
            (Some(Severity::High), GateVerdict::Fail),
            (Some(Severity::Low), GateVerdict::Fail),
            (None, GateVerdict::Pass),
        ] {
            assert_eq!(judge_gate(&policy(fail_on, &[]), &counts, &ENDED, false, &done).0, verdict, "{fail_on:?}");
        }
        let (_, reasons) = judge_gate(&policy(Some(Severity::Low), &[]), &counts, &ENDED, false, &done);
        let too_many = |severity, found| GateReason::TooMany { severity, found, most: 0 };
        assert_eq!(reasons, [too_many(Severity::High, 1), too_many(Severity::Low, 7)]);
    }

    #[test]
    fn a_number_goes_before_the_threshold_and_holds_to_the_last_finding() {
        let counts = SeverityCounts { high: 2, medium: 4, info: 1, ..SeverityCounts::default() };
        let done = [line(CoverageState::Done)];
        let verdict = |most: &[(Severity, u64)]| {
            judge_gate(&policy(Some(Severity::High), most), &counts, &ENDED, false, &done).0.name()
        };
        assert_eq!(verdict(&[(Severity::High, 2)]), "pass");
        assert_eq!(verdict(&[(Severity::High, 1)]), "fail");
        assert_eq!(verdict(&[(Severity::High, 2), (Severity::Medium, 3)]), "fail");
        assert_eq!(verdict(&[(Severity::High, 2), (Severity::Info, 0)]), "fail");
    }

    #[test]
    fn only_a_scan_that_has_ended_and_looked_at_everything_passes() {
        let strict = policy(Some(Severity::High), &[]);
        let lenient = GatePolicy { allows_gaps: true, ..strict.clone() };
        let none = SeverityCounts::default();
        let failed = ScanState::Failed { started_at: None, ended_at: Timestamp::UNIX_EPOCH, reason: String::new() };
        let cancelled = ScanState::Cancelled { started_at: None, ended_at: Timestamp::UNIX_EPOCH };
        use CoverageState::{Done, Failed, Partial, Pending, Skipped};
        for (state, states, of_strict, of_lenient) in [
            (&ENDED, &[Done][..], "pass", "pass"),
            (&ENDED, &[Done, Skipped], "incomplete", "pass"),
            (&ENDED, &[Partial], "incomplete", "pass"),
            (&ENDED, &[Done, Pending], "incomplete", "pass"),
            (&ENDED, &[Skipped, Failed], "incomplete", "incomplete"),
            (&ENDED, &[], "incomplete", "incomplete"),
            (&cancelled, &[Done, Skipped], "incomplete", "pass"),
            (&cancelled, &[Skipped], "incomplete", "incomplete"),
            (&failed, &[Done], "incomplete", "incomplete"),
            (&RUNNING, &[Done], "pending", "pending"),
            (&RUNNING, &[Done, Pending], "pending", "pending"),
            (&ScanState::Created, &[Pending], "pending", "pending"),
        ] {
            let coverage: Vec<Coverage> = states.iter().copied().map(line).collect();
            let verdict = |policy| {
                let (verdict, reasons) = judge_gate(policy, &none, state, false, &coverage);
                assert_eq!(verdict == GateVerdict::Pass, reasons.is_empty(), "{state:?} {states:?}");
                verdict.name()
            };
            assert_eq!((verdict(&strict), verdict(&lenient)), (of_strict, of_lenient), "{state:?} {states:?}");
        }
    }

    #[test]
    fn what_is_too_much_already_fails_before_the_scan_ends() {
        let counts = SeverityCounts { critical: 1, ..SeverityCounts::default() };
        let coverage = [line(CoverageState::Pending)];
        let (verdict, reasons) = judge_gate(&policy(Some(Severity::High), &[]), &counts, &RUNNING, false, &coverage);
        assert_eq!((verdict, reasons.len()), (GateVerdict::Fail, 2), "{reasons:?}");
    }
}
