//! The scheduler: makes the scans and reports that are due. Any number of stewards may: the transaction that makes something
//! also writes the row of its tick, and moves the schedule on. It never makes what the gateway would refuse: each tick is
//! judged, resolved and planned anew.

use std::sync::Mutex;

use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};
use picket_domain::{
    Branding, Cadence, Missed, NewScan, ReportId, ReportOrder, ReportRequest, RunOutcome, ScheduleKind, Tick,
};
use picket_kit::Clock;
use picket_planner::{Asker, Looked, Planner, Prover, ScanOrder, Wanted};
use picket_store::{
    Db, Notice, StoreError, Tx, View, grounds, organizations,
    proofs::looks::{self, Missing},
    reports::NewReport,
    schedules::ticks::{self, Due, Work},
};
use serde_json::Value;

use crate::{
    StewardSettings,
    rounds::{Loop, Round, RoundError},
};

/// Schedules of one round.
const TURN: i64 = 100;
/// How many are planned at once: planning asks DNS.
const AT_ONCE: usize = 8;

/// Makes what is due.
pub struct Scheduler {
    db: Db,
    planner: Planner,
    prover: Prover,
    clock: Clock,
    grace: SignedDuration,
    /// The last moment that a round saw, to tell the log when the time goes back.
    last: Mutex<Timestamp>,
}

/// What a tick comes to.
enum Plan {
    Scan(Box<NewScan>),
    Report(Box<NewReport>),
    Nothing(RunOutcome, String),
    /// The schedule cannot be read any more, and why.
    Broken(String),
    /// The name servers of the target say nothing now; it stays due.
    Later,
}

impl Scheduler {
    /// A scheduler by this clock; the planner judges and the prover looks as the gateway's do.
    #[must_use]
    pub fn new(db: Db, (planner, prover): (Planner, Prover), clock: Clock, settings: StewardSettings) -> Self {
        let grace = SignedDuration::try_from_secs_f64(settings.schedule_grace_seconds).unwrap_or(SignedDuration::ZERO);
        Self { db, planner, prover, clock, grace, last: Mutex::new(Timestamp::MIN) }
    }

    /// Makes what is due; returns how many ticks were settled, and whether there may be more.
    ///
    /// # Errors
    /// When the database refuses to say what is due. A schedule that fails is told to the log and tried again.
    pub async fn make_due(&self) -> Result<(usize, bool), StoreError> {
        let clock = self.clock.now();
        let (now, due) = self.db.operate("scheduler.due", async |tx| ticks::due(tx, clock, TURN).await).await?;
        self.watch(now);
        let is_full = i64::try_from(due.len()).is_ok_and(|found| found >= TURN);
        let settled: Vec<bool> = futures_util::stream::iter(due)
            .map(|one| self.try_settle(one, now))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let settled = settled.into_iter().filter(|is_settled| *is_settled).count();
        Ok((settled, is_full && settled > 0))
    }

    async fn try_settle(&self, due: Due, now: Timestamp) -> bool {
        match self.settle(&due, now).await {
            Ok(outcome) => {
                let outcome = outcome.map(RunOutcome::name);
                if let Some(outcome) = outcome {
                    metrics::counter!("picket_schedule_ticks_total", "outcome" => outcome).increment(1);
                }
                outcome.is_some()
            }
            Err(error) => {
                let error = picket_domain::cause(&error);
                tracing::warn!(schedule.id = %due.schedule.id, error, "a schedule could not be settled");
                false
            }
        }
    }

    async fn settle(&self, due: &Due, now: Timestamp) -> Result<Option<RunOutcome>, StoreError> {
        let (tick, next) = self.tick(due, now);
        let Some(tick) = tick else { return Ok(None) };
        let plan = match &next {
            Err(why) => Plan::Broken(why.clone()),
            Ok(_) if self.is_missed(due, tick, now) => {
                Plan::Nothing(RunOutcome::Missed, "nobody was there in time".to_owned())
            }
            Ok(_) => self.plan(due, now).await?,
        };
        let next = next.unwrap_or_default();
        let work = match &plan {
            Plan::Scan(new) => Work::Scan(new),
            Plan::Report(new) => Work::Report(new),
            Plan::Nothing(outcome, why) => Work::Nothing(*outcome, why),
            Plan::Broken(why) => Work::Broken(why),
            Plan::Later => return Ok(None),
        };
        match self.store(due, (tick, next), work, now).await {
            Err(refusal @ (StoreError::Refused(_) | StoreError::Halted { .. })) => {
                let said = refusal.to_string();
                let work = Work::Nothing(RunOutcome::Refused, &said);
                self.store(due, (tick, next), work, now).await
            }
            settled => settled,
        }
    }

    async fn store(
        &self,
        due: &Due,
        (tick, next): (Tick, Option<Tick>),
        work: Work<'_>,
        now: Timestamp,
    ) -> Result<Option<RunOutcome>, StoreError> {
        picket_faults::point("steward::before_tick");
        let settle = async |tx: &picket_store::Tx<'_>| {
            let settled = ticks::settle(tx, due, tick.at, next, work, now).await;
            picket_faults::point("steward::before_tick_commit");
            settled
        };
        let settled = self.db.operate("scheduler.settle", settle).await;
        picket_faults::point("steward::after_tick");
        settled
    }

    /// The tick to settle, the latest that is due, and the one after it. What was kept and is no cadence any more is refused.
    fn tick(&self, due: &Due, now: Timestamp) -> (Option<Tick>, Result<Option<Tick>, String>) {
        let schedule = &due.schedule;
        if let Some(at) = due.waiting {
            return (Some(Tick { at, run_at: at }), Ok(schedule.next));
        }
        let Some(first) = schedule.next else { return (None, Ok(None)) };
        match Cadence::kept(&schedule.cron, &schedule.time_zone, schedule.jitter_seconds) {
            Ok(cadence) => {
                let tick = cadence.latest(schedule.id, first.at, now);
                (Some(tick), Ok(cadence.after(schedule.id, tick.at)))
            }
            Err(error) => (Some(first), Err(error.to_string())),
        }
    }

    fn is_missed(&self, due: &Due, tick: Tick, now: Timestamp) -> bool {
        let is_late = due.waiting.is_none() && now.duration_since(tick.run_at) > self.grace;
        is_late && due.schedule.missed == Missed::Skip
    }

    /// Whether what is due should have been made longer ago than the grace.
    fn is_late(&self, due: &Due, now: Timestamp) -> bool {
        due.schedule.next.is_none_or(|tick| now.duration_since(tick.run_at) > self.grace)
    }

    async fn plan(&self, due: &Due, now: Timestamp) -> Result<Plan, StoreError> {
        match due.schedule.kind {
            ScheduleKind::Scan => self.plan_scan(due, now).await,
            ScheduleKind::Report => self.plan_report(due, now).await,
        }
    }

    async fn plan_scan(&self, due: &Due, now: Timestamp) -> Result<Plan, StoreError> {
        let order = kept::<ScanOrder>(&due.schedule.request);
        // What was kept in an older form is not guessed at.
        let Some(order) = order.filter(|order| Wanted::from_json(&order.wanted).is_some()) else {
            return Ok(unreadable());
        };
        let load = async |view: &View<'_>| grounds::load(view, &order.target, now).await;
        let tenant = due.organization_id;
        let grounds = self.db.view("scheduler.grounds", tenant, load).await?;
        let Looked { grounds, found, missing } = self.prover.look_again(&order.target, grounds).await;
        if !found.is_empty() || !missing.is_empty() {
            let missing: Vec<Missing> =
                missing.iter().map(|(one, why)| Missing { id: one.id, digest: one.digest, why: why.code() }).collect();
            let note = async |tx: &Tx<'_>| looks::note(tx, (tenant, crate::proofs::ACTOR), &found, &missing, now).await;
            self.db.operate("scheduler.proofs", note).await?;
        }
        let asker = Asker {
            organization_id: due.organization_id,
            subscription: due.subscription,
            requested_by: due.schedule.owner.clone(),
            grounds,
            traceparent: None,
            now,
        };
        Ok(match self.planner.plan_order(&asker, &order).await {
            Ok(new) => Plan::Scan(Box::new(new)),
            Err(refused) if refused.code() == "target_unresolvable" && !self.is_late(due, now) => Plan::Later,
            Err(refused) => Plan::Nothing(RunOutcome::Refused, refused.to_string()),
        })
    }

    async fn plan_report(&self, due: &Due, now: Timestamp) -> Result<Plan, StoreError> {
        let Some(order) = kept::<ReportOrder>(&due.schedule.request) else { return Ok(unreadable()) };
        let since =
            now.saturating_sub(SignedDuration::from_hours(i64::from(order.days) * 24)).unwrap_or(Timestamp::MIN);
        let most = i64::try_from(ReportRequest::MAX_SCANS).unwrap_or(i64::MAX);
        let (tenant, target) = (due.organization_id, order.target.as_deref());
        let found = self
            .db
            .operate("scheduler.completed", async |tx| ticks::completed(tx, tenant, (since, now), target, most).await);
        let scans = found.await?;
        let name = self.db.read("scheduler.branding", tenant, async |tx| organizations::find(tx).await).await?;
        let name = name.and_then(|organization| organization.choices.branding.company_name);
        // The logo is fetched by the gateway alone; a report on schedule has none.
        let branding = Branding::parse(name.as_deref(), None).unwrap_or_default();
        let (summary, details) = (order.include_executive_summary, order.include_technical_details);
        let Ok(request) = ReportRequest::parse(scans, order.format, summary, details, branding) else {
            return Ok(Plan::Nothing(RunOutcome::Skipped, "no scan has completed in these days".to_owned()));
        };
        Ok(Plan::Report(Box::new(NewReport {
            id: ReportId::mint(now),
            organization_id: tenant,
            request,
            warnings: Vec::new(),
            requested_by: due.schedule.owner.clone(),
            traceparent: None,
        })))
    }

    /// Says when the time goes back: nothing is made twice, but what is due waits for it.
    fn watch(&self, now: Timestamp) {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if now < *last {
            tracing::warn!(%now, last = %*last, "the time went back");
        }
        *last = now;
    }
}

fn kept<T: serde::de::DeserializeOwned>(request: &Value) -> Option<T> {
    serde_json::from_value(request.clone()).ok()
}

fn unreadable() -> Plan {
    Plan::Broken("the request cannot be read any more; save the schedule again".to_owned())
}

impl Loop for Scheduler {
    const NAME: &'static str = "scheduler";
    const WOKEN_BY: Option<Notice> = None;

    async fn round(&self) -> Result<Round, RoundError> {
        let (settled, has_more) = self.make_due().await?;
        if settled > 0 {
            tracing::info!(settled, "ticks of schedules were settled");
        }
        Ok(if has_more { Round::Again } else { Round::Idle })
    }
}
