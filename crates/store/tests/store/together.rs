//! Claims and ends of several runs at once, of several organizations: each as if it were alone.

use picket_domain::{
    AdmissionLimits, ArtifactId, ClaimedTask, EventBody, Fence, Grown, NewScan, Observation, OrganizationId,
    OutputLine, Pool, Severity, Subscription, TaskQueued,
};
use picket_store::{
    artifacts::{self, ArtifactKind, Kept, NewArtifact},
    events, output,
    tasks::{self, Ended, Outcome, RunEnd, RunRecord, admission, lease},
};
use picket_testkit::seed;

use crate::scenario::{Scenario, now, observation};

/// Two organizations with a scan each, of so many tasks; one task of each runs, so that the scans do.
struct Pair {
    scenario: Scenario,
    scans: [NewScan; 2],
    running: Vec<ClaimedTask>,
    waiting: Vec<lease::Offer>,
}

impl Pair {
    async fn new(tasks: usize) -> Self {
        let scenario = Scenario::new().await;
        let other = seed::organization(&scenario.database, Subscription::Trial).await;
        let scans = [scenario.create(tasks).await, seed::scan(other, tasks)];
        scenario.store(&scans[1]).await.unwrap();
        scenario.set_plan(Subscription::Enterprise).await;
        let limits = AdmissionLimits::none();
        let admit = async |tx: &picket_store::Tx<'_>| {
            admission::admit(tx, Pool::Net, 20, &limits, now(), admission::Bearer::Relay).await
        };
        assert_eq!(scenario.db.operate("test", admit).await.unwrap().tasks, tasks * 2);
        let mut offers = messages(&scenario).await;
        let mut running = Vec::new();
        for scan in &scans {
            let place = offers.iter().position(|offer| offer.message.scan_id == scan.id).unwrap();
            let offer = offers.swap_remove(place);
            let by = scenario.claimant();
            let claim = scenario
                .db
                .run("test", scan.organization_id, async |tx| lease::claim(tx, &offer.message, by, now()).await);
            running.push(claim.await.unwrap().unwrap());
        }
        Self { scenario, scans, running, waiting: offers }
    }

    async fn claim(&self, offers: &[lease::Offer]) -> Vec<ClaimedTask> {
        let by = self.scenario.claimant();
        let claim = self.scenario.db.act("test", async |tx| lease::claim_more(tx, offers, by).await);
        claim.await.unwrap()
    }

    async fn end(&self, ends: &[RunEnd<'_>]) -> Vec<Option<Ended>> {
        let end = async |tx: &picket_store::Tx<'_>| tasks::end_each(tx, ends, now(), |_, _| Grown::default()).await;
        self.scenario.db.run_for_each("test", end).await.unwrap()
    }

    async fn rows(&self, sql: &str, scan: &NewScan) -> i64 {
        self.scenario.row(sql, &[&scan.id.uuid()]).await.get(0)
    }
}

/// Each with the organization that it names.
async fn messages(scenario: &Scenario) -> Vec<lease::Offer> {
    let claimed = scenario.db.operate("test", async |tx| events::claim(tx, 1_000).await).await.unwrap();
    let offer = |outgoing: events::Outgoing| {
        let organization_id = outgoing.event.organization_id;
        if let EventBody::TaskQueued(message) = outgoing.event.body {
            Some(lease::Offer { organization_id, message })
        } else {
            None
        }
    };
    claimed.into_iter().filter_map(offer).collect()
}

fn small(content: &[u8]) -> Kept {
    let new = NewArtifact {
        id: ArtifactId::mint(now()),
        kind: ArtifactKind::Output,
        size_bytes: 100,
        sha256: "00".repeat(32),
        is_cut: false,
    };
    Kept::Small { new, content: content.to_vec() }
}

#[tokio::test]
async fn one_statement_claims_what_several_organizations_offer() {
    let pair = Pair::new(3).await;
    let mut offers = pair.waiting.clone();
    assert_eq!(offers.len(), 4);
    // One that is stale, and one that names the other organization: neither is claimed, and neither holds up the rest.
    offers[0].message.attempt += 1;
    let other = pair.scans.iter().find(|scan| scan.organization_id != offers[1].organization_id).unwrap();
    offers[1].organization_id = other.organization_id;
    let claimed = pair.claim(&offers).await;
    let mut ids: Vec<_> = claimed.iter().map(|task| task.fence.task_id).collect();
    ids.sort_unstable();
    let mut expected: Vec<_> = offers[2..].iter().map(|offer| offer.message.task_id).collect();
    expected.sort_unstable();
    assert_eq!(ids, expected);
    for task in &claimed {
        let offer = offers.iter().find(|offer| offer.message.task_id == task.fence.task_id).unwrap();
        assert_eq!(task.organization_id, offer.organization_id);
        assert_eq!(task.fence.attempt, offer.message.attempt + 1);
    }
    assert!(pair.claim(&offers).await.is_empty(), "nothing is claimed twice");
}

#[tokio::test]
async fn a_scan_that_is_stopped_keeps_nobody_else_from_a_claim() {
    let pair = Pair::new(2).await;
    let stopped = pair.scans[0].id.uuid();
    let client = pair.scenario.database.connect().await;
    client.execute("UPDATE scans SET state = 'paused' WHERE id = $1", &[&stopped]).await.unwrap();
    let claimed = pair.claim(&pair.waiting).await;
    assert_eq!(claimed.iter().map(|task| task.scan_id).collect::<Vec<_>>(), [pair.scans[1].id]);
}

#[tokio::test]
async fn ends_of_several_organizations_are_each_as_if_alone() {
    let pair = Pair::new(1).await;
    let (run, late) = (RunRecord { exit_code: Some(0), ..RunRecord::default() }, RunRecord::default());
    let [first, second] = pair.running.as_slice() else { panic!("two run") };
    let stale = ClaimedTask { fence: Fence { attempt: 7, ..first.fence }, ..first.clone() };
    let found: [Observation; 1] = [observation(80, Severity::High)];
    let kept = small(b"compressed");
    let lines = vec![OutputLine::Ended { observations: 1, gap: None, again: false }];
    let ends = [
        RunEnd { observations: &found, ..RunEnd::new(&stale, Outcome::Done, &late) },
        RunEnd { observations: &found, kept: Some(&kept), lines, ..RunEnd::new(first, Outcome::Done, &run) },
        RunEnd { observations: &found, ..RunEnd::new(second, Outcome::Done, &run) },
    ];
    // The first of a tenant that finds something is alone with it; the stale one is not stored at all.
    assert_eq!(pair.end(&ends).await, [None, Some(Ended { is_told: true }), Some(Ended { is_told: true })]);
    for scan in &pair.scans {
        assert_eq!(pair.scenario.state(scan).await, "completed");
        let findings = "SELECT count(*) FROM findings AS f JOIN scans AS s USING (organization_id) WHERE s.id = $1";
        assert_eq!(pair.rows(findings, scan).await, 1, "each organization has its own");
        let sightings = "SELECT count(*) FROM sightings WHERE scan_id = $1";
        assert_eq!(pair.rows(sightings, scan).await, 1);
    }
    let read = async |of: OrganizationId| {
        let found = async |tx: &picket_store::Tx<'_>| artifacts::find(tx, kept.id()).await;
        pair.scenario.db.read("test", of, found).await.unwrap()
    };
    let artifact = read(pair.scans[0].organization_id).await.unwrap();
    assert_eq!(artifact.content.as_deref(), Some(b"compressed".as_slice()));
    assert_eq!(artifact.artifact.stored_bytes, Some(10));
    assert!(read(pair.scans[1].organization_id).await.is_none(), "a tenant sees its own alone");
    let told = async |tx: &picket_store::Tx<'_>| output::list(tx, pair.scans[0].id, 0, 10).await;
    let told = pair.scenario.db.read("test", pair.scans[0].organization_id, told).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].number, told[0].task_id), (1, first.fence.task_id));
}

#[tokio::test]
async fn the_last_two_tasks_of_a_scan_end_it_once_when_they_end_together() {
    let pair = Pair::new(2).await;
    let rest = pair.claim(&pair.waiting).await;
    let all: Vec<&ClaimedTask> = pair.running.iter().chain(&rest).collect();
    let run = RunRecord::default();
    let failed = RunRecord { gap: Some(picket_domain::Gap::ToolFailed), ..RunRecord::default() };
    let ends: Vec<RunEnd<'_>> = all
        .iter()
        .enumerate()
        .map(|(place, task)| match place {
            0 => RunEnd::new(task, Outcome::Failed, &failed),
            _ => RunEnd::new(task, Outcome::Done, &run),
        })
        .collect();
    assert!(pair.end(&ends).await.iter().all(Option::is_some));
    for scan in &pair.scans {
        assert_eq!(pair.scenario.state(scan).await, "completed");
    }
    for scan in &pair.scans {
        let ended = "SELECT count(*) FROM events WHERE scan_id = $1 AND name = 'scan.completed'";
        assert_eq!(pair.rows(ended, scan).await, 1);
    }
    let gaps =
        "SELECT count(*) FROM tasks WHERE scan_id = $1 AND state = 'failed' AND failures = 1 AND gap = 'tool_failed'";
    assert_eq!(pair.rows(gaps, &pair.scans[0]).await, 1);
}

#[tokio::test]
async fn ends_claims_and_renewals_of_the_same_scans_never_wait_for_each_other_in_a_circle() {
    let pair = Pair::new(20).await;
    let by = pair.scenario.claimant();
    let (mut waiting, mut ended) = (pair.waiting.clone(), 0);
    let mut running = pair.running.clone();
    while !running.is_empty() || !waiting.is_empty() {
        let mut offers: Vec<_> = waiting.drain(..waiting.len().min(8)).collect();
        offers.reverse();
        let held: Vec<Fence> = running.iter().map(|task| task.fence).collect();
        let run = RunRecord::default();
        let ends: Vec<RunEnd<'_>> = running.iter().rev().map(|task| RunEnd::new(task, Outcome::Done, &run)).collect();
        let renew = pair.scenario.db.operate("test", async |tx| lease::renew(tx, by, &held).await);
        let (claimed, done, renewed) = tokio::join!(pair.claim(&offers), pair.end(&ends), renew);
        renewed.unwrap();
        ended += done.into_iter().flatten().count();
        let left: Vec<TaskQueued> = offers
            .iter()
            .map(|offer| offer.message.clone())
            .filter(|message| !claimed.iter().any(|task| task.fence.task_id == message.task_id))
            .collect();
        assert!(left.is_empty(), "nothing but a lock was in the way of {left:?}");
        running = claimed;
    }
    assert_eq!(ended, 40);
    for scan in &pair.scans {
        assert_eq!(pair.scenario.state(scan).await, "completed");
    }
}
