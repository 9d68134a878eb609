//! How many of a thing an organization may keep. Asked in the transaction that makes the thing, behind a lock on the
//! organization's counters, so that creates at the same time cannot pass together. The plan is read in that transaction,
//! too: a smaller one holds from the next create on. Things are counted anew each time; a counter that somebody forgets to
//! lower would leak.
//!
//! Scans have a statement of their own (`scans.rs`), which asks the same in one round trip.

use jiff::{SignedDuration, Timestamp};
use picket_domain::{NewScan, OrganizationId, Subscription, SubscriptionLimits};

use crate::{StoreError, Tx, row::Columns, statements::statements};

statements! {
    // Held until the transaction ends; apart from `organizations`, whose row changes as events are numbered.
    LOCK = "-- quota.lock
SELECT o.plan, o.trial_ends_at
FROM organization_counters AS c
JOIN organizations AS o ON o.id = c.organization_id
WHERE c.organization_id = $1
FOR NO KEY UPDATE OF c";

    // Nothing is counted beyond its limit.
    COUNT_API_KEYS = "-- quota.count_api_keys
SELECT count(*) AS kept
FROM (
  SELECT
  FROM api_keys
  WHERE organization_id = $1 AND revoked_at IS NULL AND rotated_to IS NULL AND (expires_at IS NULL OR expires_at > now())
  LIMIT $2
) AS kept";

    COUNT_PROFILES = "-- quota.count_profiles
SELECT count(*) AS kept
FROM (SELECT FROM scan_profiles WHERE organization_id = $1 LIMIT $2) AS kept";

    COUNT_REPORTS_AT_ONCE = "-- quota.count_reports_at_once
SELECT count(*) AS kept
FROM (SELECT FROM reports WHERE organization_id = $1 AND state IN ('queued', 'running') LIMIT $2) AS kept";

    COUNT_REPORTS_SINCE = "-- quota.count_reports_since
SELECT count(*) AS kept
FROM (SELECT FROM reports WHERE organization_id = $1 AND created_at > $3 LIMIT $2) AS kept";

    COUNT_SCANS = "-- quota.count_scans
SELECT count(*) AS kept
FROM (
  SELECT
  FROM scans
  WHERE organization_id = $1 AND state IN ('created', 'queued', 'running', 'paused')
  LIMIT $2
) AS kept";

    COUNT_TARGETS = "-- quota.count_targets
SELECT count(*) AS kept
FROM (SELECT FROM targets WHERE organization_id = $1 LIMIT $2) AS kept";

    COUNT_WEBHOOKS = "-- quota.count_webhooks
SELECT count(*) AS kept
FROM (SELECT FROM webhooks WHERE organization_id = $1 AND deleted_at IS NULL LIMIT $2) AS kept";
}

/// A thing that an organization keeps, with the limit of its subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// API keys that are valid; those that end since another replaces them do not count.
    ApiKeys(u32),
    /// Scans that have not ended.
    ConcurrentScans(u32),
    /// Saved profiles of scans.
    Profiles(u32),
    /// Reports that are waiting or being rendered.
    ReportsAtOnce(u32),
    /// Reports of the 24 hours before that moment.
    ReportsPerDay(u32, Timestamp),
    /// Targets.
    Targets(u32),
    /// Webhooks that are not deleted; those that are disabled count.
    Webhooks(u32),
}

/// The plan does not allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A trial that is over keeps what it has and makes nothing new.
    #[error("the trial has ended: what is there can be read, new scans and reports need a plan")]
    TrialEnded,
    /// As many as the plan allows.
    #[error("expected at most {most} {what} on the plan `{}`", .plan.name())]
    LimitReached {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        most: u64,
        /// The plan that has this limit.
        plan: Subscription,
    },
}

/// What an organization may have, as of this transaction. While it lasts, nobody else gets room for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    organization: OrganizationId,
    plan: Subscription,
    trial_ends_at: Option<Timestamp>,
}

/// Locks the organization's counters until the transaction ends and reads its plan. First of all locks: a transaction that
/// audits takes it sooner or later.
///
/// # Errors
/// [`StoreError::Stale`] when there is no such organization, or when the database refuses.
#[tracing::instrument(name = "db.quota.lock", skip_all, err(level = "debug"))]
pub async fn lock(tx: &Tx<'_>, organization: OrganizationId) -> Result<Allowance, StoreError> {
    let row = tx.query_opt(LOCK, &[&organization.uuid()]).await?;
    let row = row.ok_or(StoreError::Stale { expected: 1, actual: 0 })?;
    let columns = Columns::new("organizations", &row);
    let plan = columns.named("plan", Subscription::find)?;
    Ok(Allowance { organization, plan, trial_ends_at: columns.get("trial_ends_at")? })
}

impl Allowance {
    /// What the plan allows.
    #[must_use]
    pub fn limits(&self) -> SubscriptionLimits {
        self.plan.limits()
    }

    /// Demands room for one more.
    ///
    /// # Errors
    /// [`Refusal::LimitReached`], or when the database refuses.
    pub async fn demand(
        &self,
        tx: &Tx<'_>,
        quota: impl FnOnce(&SubscriptionLimits) -> Quota,
    ) -> Result<(), StoreError> {
        let quota = quota(&self.plan.limits());
        if has_room(tx, self.organization, quota).await? {
            return Ok(());
        }
        let (what, most) = quota.words();
        Err(Refusal::LimitReached { what, most: most.into(), plan: self.plan }.into())
    }

    /// How many more targets there is room for.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn targets_left(&self, tx: &Tx<'_>) -> Result<usize, StoreError> {
        let most = i64::from(self.plan.limits().targets);
        let row = tx.query_one(COUNT_TARGETS, &[&self.organization.uuid(), &most]).await?;
        let kept: i64 = Columns::new("quota", &row).get("kept")?;
        Ok(usize::try_from(most.saturating_sub(kept)).unwrap_or_default())
    }

    /// The plan.
    #[must_use]
    pub const fn plan(&self) -> Subscription {
        self.plan
    }

    /// Demands all that one more scan of that size needs.
    ///
    /// # Errors
    /// [`Refusal::TrialEnded`], [`Refusal::LimitReached`], or when the database refuses.
    pub async fn demand_scan(&self, tx: &Tx<'_>, probes: u64, now: Timestamp) -> Result<(), StoreError> {
        self.demand_current(now)?;
        self.demand_probes(probes)?;
        self.demand(tx, |limits| Quota::ConcurrentScans(limits.concurrent_scans)).await
    }

    fn demand_probes(&self, probes: u64) -> Result<(), StoreError> {
        let (plan, most) = (self.plan, self.plan.limits().probes);
        if probes <= most {
            Ok(())
        } else {
            Err(Refusal::LimitReached { what: "hosts × ports in one scan", most, plan }.into())
        }
    }

    /// Demands a plan that is paid for, or a trial that has not ended.
    ///
    /// # Errors
    /// [`Refusal::TrialEnded`].
    pub fn demand_current(&self, now: Timestamp) -> Result<(), StoreError> {
        let has_ended = self.plan == Subscription::Trial && self.trial_ends_at.is_some_and(|at| at <= now);
        if has_ended { Err(Refusal::TrialEnded.into()) } else { Ok(()) }
    }
}

/// Why a scan was not created, behind the lock under which that happened.
pub(crate) async fn why_no_scan(tx: &Tx<'_>, new: &NewScan, now: Timestamp) -> Result<StoreError, StoreError> {
    lock(tx, new.organization_id).await?.demand_scan(tx, new.probes, now).await?;
    Ok(StoreError::Stale { expected: 1, actual: 0 })
}

async fn has_room(tx: &Tx<'_>, organization: OrganizationId, quota: Quota) -> Result<bool, StoreError> {
    let (_, most) = quota.words();
    let (organization, most) = (organization.uuid(), i64::from(most));
    let row = match quota {
        Quota::ApiKeys(_) => tx.query_one(COUNT_API_KEYS, &[&organization, &most]).await?,
        Quota::ConcurrentScans(_) => tx.query_one(COUNT_SCANS, &[&organization, &most]).await?,
        Quota::Profiles(_) => tx.query_one(COUNT_PROFILES, &[&organization, &most]).await?,
        Quota::ReportsAtOnce(_) => tx.query_one(COUNT_REPORTS_AT_ONCE, &[&organization, &most]).await?,
        Quota::ReportsPerDay(_, now) => {
            let since = now.saturating_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
            tx.query_one(COUNT_REPORTS_SINCE, &[&organization, &most, &since]).await?
        }
        Quota::Targets(_) => tx.query_one(COUNT_TARGETS, &[&organization, &most]).await?,
        Quota::Webhooks(_) => tx.query_one(COUNT_WEBHOOKS, &[&organization, &most]).await?,
    };
    let kept: i64 = Columns::new("quota", &row).get("kept")?;
    Ok(kept < most)
}

impl Quota {
    /// What it is of, in words for the client, and the limit.
    const fn words(self) -> (&'static str, u32) {
        match self {
            Self::ApiKeys(most) => ("API keys", most),
            Self::ConcurrentScans(most) => ("scans that have not ended", most),
            Self::ReportsAtOnce(most) => ("reports that are not done", most),
            Self::ReportsPerDay(most, _) => ("reports in 24 hours", most),
            Self::Profiles(most) => ("scan profiles", most),
            Self::Targets(most) => ("targets", most),
            Self::Webhooks(most) => ("webhooks", most),
        }
    }
}
