//! Lines of the live output and raw outputs: numbered without holes, fenced, bounded, and gone with their scan.

use jiff::SignedDuration;
use picket_domain::{ArtifactId, ClaimedTask, OutputLine, Subscription};
use picket_store::{
    StoreError,
    artifacts::{self, ArtifactKind, Keep, NewArtifact},
    output::{self, MOST_LINES},
    scans::{self, remove},
    tasks::{self, RunRecord},
};

use crate::scenario::{Scenario, now};

async fn tell(scenario: &Scenario, task: &ClaimedTask, count: usize) -> bool {
    let lines = vec![OutputLine::LeftOut { observations: 1 }; count];
    let told =
        scenario.db.run("test", scenario.organization, async |tx| output::tell(tx, task, &lines, now()).await).await;
    told.unwrap()
}

async fn numbers(scenario: &Scenario, task: &ClaimedTask, behind: i64, limit: i64) -> Vec<i64> {
    let read = scenario
        .db
        .read("test", scenario.organization, async |tx| output::list(tx, task.scan_id, behind, limit).await)
        .await;
    read.unwrap().into_iter().map(|line| line.number).collect()
}

async fn complete(scenario: &Scenario, task: &ClaimedTask) -> Result<(), StoreError> {
    let work = async |tx: &picket_store::Tx<'_>| tasks::complete(tx, task, &[], &RunRecord::default(), now()).await;
    scenario.db.run("test", scenario.organization, work).await
}

/// A scan with two tasks, both of which run.
async fn two(scenario: &Scenario) -> [ClaimedTask; 2] {
    scenario.set_plan(Subscription::Enterprise).await;
    scenario.create(2).await;
    assert_eq!(scenario.admit().await, 2);
    let messages = scenario.messages().await;
    [scenario.claim(&messages[0]).await.unwrap(), scenario.claim(&messages[1]).await.unwrap()]
}

#[tokio::test]
async fn a_reader_sees_every_number_in_its_order_while_two_write_at_once() {
    let scenario = Scenario::new().await;
    let [one, two] = two(&scenario).await;
    let write = async |task: &ClaimedTask| {
        for count in 1..=20 {
            assert!(tell(&scenario, task, count).await);
        }
    };
    let read = async {
        let mut seen = Vec::new();
        while seen.len() < 420 {
            let last = seen.last().copied().unwrap_or(0);
            seen.extend(numbers(&scenario, &one, last, 17).await);
        }
        seen
    };
    let ((), (), seen) = tokio::join!(write(&one), write(&two), read);
    assert_eq!(seen, (1..=420).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_worker_whose_claim_is_gone_tells_nothing() {
    let scenario = Scenario::new().await;
    let (_, _, task) = scenario.running().await;
    let mut earlier = task.clone();
    earlier.fence.attempt -= 1;
    assert!(!tell(&scenario, &earlier, 1).await);
    assert!(tell(&scenario, &task, 1).await);
    complete(&scenario, &task).await.unwrap();
    assert!(!tell(&scenario, &task, 1).await);
    assert_eq!(numbers(&scenario, &task, 0, 10).await, [1]);
}

#[tokio::test]
async fn a_scan_keeps_so_many_lines_and_says_that_there_were_more() {
    let scenario = Scenario::new().await;
    let (_, _, task) = scenario.running().await;
    let most = usize::try_from(MOST_LINES).unwrap();
    assert!(tell(&scenario, &task, most - 1).await);
    for _ in 0..3 {
        assert!(tell(&scenario, &task, 5).await);
    }
    let last = scenario
        .db
        .read("test", scenario.organization, async |tx| output::list(tx, task.scan_id, MOST_LINES - 1, 10).await)
        .await
        .unwrap();
    let last: Vec<_> = last.into_iter().map(|line| (line.number, line.line)).collect();
    assert_eq!(last, [(MOST_LINES, OutputLine::LeftOut { observations: 1 }), (MOST_LINES + 1, OutputLine::Cut)]);
}

async fn begin(scenario: &Scenario, task: &ClaimedTask) -> ArtifactId {
    let id = ArtifactId::mint(now());
    let new = NewArtifact { id, kind: ArtifactKind::Output, size_bytes: 3, sha256: String::new(), is_cut: false };
    let work = async |tx: &picket_store::Tx<'_>| artifacts::begin(tx, task, &new, now()).await;
    scenario.db.run("test", scenario.organization, work).await.unwrap();
    id
}

/// The transaction that ends a run with what it leaves.
async fn end(scenario: &Scenario, task: &ClaimedTask, id: ArtifactId) -> Result<(), StoreError> {
    let kept = Keep { id, stored_bytes: Some(2) };
    scenario
        .db
        .run("test", scenario.organization, async |tx| {
            tasks::complete(tx, task, &[], &RunRecord::default(), now()).await?;
            artifacts::keep(tx, &kept).await.map(drop)
        })
        .await
}

async fn states(scenario: &Scenario) -> String {
    let sql = "SELECT coalesce(string_agg(state, ' ' ORDER BY state), '') FROM artifacts";
    scenario.row(sql, &[]).await.get(0)
}

#[tokio::test]
async fn what_a_late_worker_stored_is_shown_to_nobody_and_swept() {
    let scenario = Scenario::new().await;
    let (_, _, task) = scenario.running().await;
    let (first, late) = (begin(&scenario, &task).await, begin(&scenario, &task).await);
    end(&scenario, &task, first).await.unwrap();
    assert!(matches!(end(&scenario, &task, late).await, Err(StoreError::Stale { .. })));
    let list = async || {
        let read = scenario
            .db
            .read("test", scenario.organization, async |tx| artifacts::list(tx, task.scan_id, None, 10).await);
        read.await.unwrap().into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    assert_eq!(list().await, [first]);
    let sweep = async |minutes: i64| {
        let at = now().saturating_add(SignedDuration::from_mins(minutes)).unwrap();
        let work = async |tx: &picket_store::Tx<'_>| {
            artifacts::doom_abandoned(tx, at).await?;
            artifacts::doomed(tx, at, None, 10).await
        };
        let doomed = scenario.db.operate("test", work).await.unwrap();
        doomed.into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    assert!(sweep(59).await.is_empty(), "a run may still say that it is whole");
    assert_eq!(sweep(61).await, [late]);
    assert_eq!(states(&scenario).await, "doomed stored");
    // Whoever stored it may take the document away, but none that was said to be stored.
    let disown = async |id| {
        scenario.db.run("test", scenario.organization, async |tx| artifacts::disown(tx, id).await).await.unwrap()
    };
    assert_eq!((disown(late).await, disown(first).await), (true, false));
    let kept = Keep { id: late, stored_bytes: Some(2) };
    let told = scenario.db.run("test", scenario.organization, async |tx| artifacts::keep(tx, &kept).await).await;
    assert!(!told.unwrap(), "nobody names it any more");
    let remove = async |tx: &picket_store::Tx<'_>| artifacts::remove(tx, &[first, late]).await;
    assert_eq!(scenario.db.operate("test", remove).await.unwrap(), 1, "only what is doomed goes");
}

#[tokio::test]
async fn with_a_scan_goes_what_its_runs_left_also_what_is_being_stored_at_that_moment() {
    let scenario = Scenario::new().await;
    let (scan, _, task) = scenario.running().await;
    assert!(tell(&scenario, &task, 3).await);
    let kept = begin(&scenario, &task).await;
    begin(&scenario, &task).await;
    end(&scenario, &task, kept).await.unwrap();
    assert_eq!(states(&scenario).await, "stored storing");
    let work = async |tx: &picket_store::Tx<'_>| {
        let locked = scans::lock(tx, scan.id).await?.unwrap();
        remove::remove(tx, &locked.scan).await
    };
    scenario.db.run("test", scenario.organization, work).await.unwrap();
    assert_eq!(states(&scenario).await, "doomed doomed");
    let left = "SELECT (SELECT count(*) FROM output_lines) + (SELECT count(*) FROM scan_outputs)";
    assert_eq!(scenario.row(left, &[]).await.get::<_, i64>(0), 0);
}
