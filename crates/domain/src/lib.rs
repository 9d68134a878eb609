//! What Picket is about: identities, states, targets, findings and the events they raise.
//! Pure: no input or output, no clock, no global state; every rule here is testable in a millisecond.

mod address;
mod admission;
mod allow_list;
pub mod audit;
mod cause;
mod criticality;
mod delivery;
mod deny_list;
mod event;
mod exclusion;
mod finding;
mod gate;
mod grounds;
mod growth;
mod host_name;
mod id;
mod invocation;
mod later;
mod letter;
mod output;
mod permission;
mod plan;
mod proof;
mod report;
mod retry;
mod run_limits;
mod scan;
mod schedule;
mod severity;
mod subscription;
mod target;
mod task;
mod transition;
mod webhook;
mod window;

pub use address::{AddressClass, classify, special_networks};
pub use admission::{AdmissionLimits, Candidate, Settled, ahead, choose, choose_of_few, settle};
pub use allow_list::{AllowList, AllowListError, TargetVerdict, judge};
pub use audit::{AuditAction, AuditEntry, AuditHash, AuditPoint, AuditRow, BreakReason, Broken, ChainWalk};
pub use cause::cause;
pub use criticality::Criticality;
pub use delivery::{ClaimedDelivery, DeliveryAttempt, DeliveryFence, DeliveryState, Outcome, Verdict};
pub use deny_list::{DenyList, DenyListError};
pub use event::{Event, EventBody, FindingFound, ReportChanged, ScanChanged, TaskQueued};
pub use exclusion::{Exclusion, ExclusionError};
pub use finding::{Confidence, Fingerprint, Location, Observation, Protocol, Service};
pub use gate::{GatePolicy, GateReason, GateVerdict, judge_gate};
pub use grounds::{Authority, Basis, Ground, GroundRefused, Grounds, Reach, StaleProof};
pub use growth::{Growing, Grown};
pub use host_name::HostName;
pub use id::{
    ApiKeyId, ArtifactId, AuthorizationId, AvatarId, DeliveryId, EventId, ExclusionId, FindingId, IdError,
    InvitationId, MailId, OrganizationId, ProfileId, ProofId, ReportId, ScanId, ScheduleId, SessionId, TargetId,
    TaskId, UserId, WebhookId, WorkerId,
};
pub use invocation::{Egress, InputFile, Invocation, Network, PinnedHost, ToolOutput, TopPorts};
pub use later::LaterTasks;
pub use letter::{Letter, Locale, ProofNews, ScanOutcome};
pub use output::OutputLine;
pub use permission::{Permission, Role};
pub use plan::{Coverage, CoverageState, Dialect, NewScan, Plan, PlanGap};
pub use proof::{
    CHECK_EVERY, CHECK_EVERY_FAILING, FILE_PATH, LONGEST_FILE_BYTES, LONGEST_PAGE_BYTES, LOOK_LASTS, META_NAME,
    ProofDigest, ProofMethod, TOKEN_LASTS, VERIFIED_LASTS, record_name,
};
pub use report::{
    Branding, CompanyName, Document, Report, ReportFormat, ReportRequest, ReportRequestError, ReportState,
};
pub use retry::{Jitter, RetrySchedule, parse_retry_after};
pub use run_limits::{Politeness, RunLimits, ScanLimits};
pub use scan::{Scan, ScanEnd, ScanState};
pub use schedule::{Cadence, CadenceError, Missed, Overlap, ReportOrder, RunOutcome, ScheduleKind, Tick};
pub use severity::{Severity, SeverityCounts};
pub use subscription::{Subscription, SubscriptionLimits};
pub use target::{Target, TargetError, TargetKind};
pub use task::{ClaimedTask, Fence, Gap, Needs, NewTask, Pool, SandboxLevel, Shard, TaskState};
pub use transition::{InvalidTransition, Transition};
pub use webhook::{Disabled, Webhook, WebhookError, WebhookEvent, WebhookSecret, WebhookUrl};
pub use window::{HoursError, TargetPattern, WeeklyHours, WrittenHours};
