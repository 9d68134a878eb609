//! What a gate reads of a scan: it must never let a scan pass because it goes meanwhile.

use picket_domain::{Confidence, Severity};
use picket_store::{
    StoreError,
    scans::{
        gate::{self, Judged},
        read,
    },
    tasks::{self, RunRecord},
};

use crate::scenario::{Scenario, now, observation};

#[tokio::test]
async fn a_scan_whose_findings_go_while_a_gate_reads_it_is_counted_as_it_was() {
    let scenario = Scenario::new().await;
    let (scan, _, task) = scenario.running().await;
    let (found, run) = ([observation(80, Severity::Critical)], RunRecord::default());
    let end = async |tx: &picket_store::Tx<'_>| tasks::complete(tx, &task, &found, &run, now()).await;
    scenario.db.run("test", scenario.organization, end).await.unwrap();
    let judged = Judged { scan: scan.id, least_confidence: Confidence::Low, since: None };
    let read = async |tx: &picket_store::Tx<'_>| {
        gate::at_one_moment(tx).await?;
        let is_there = read::find(tx, scan.id).await?.is_some();
        scenario.execute("DELETE FROM sightings").await;
        Ok::<_, StoreError>((is_there, gate::counts(tx, &judged).await?.critical))
    };
    assert_eq!(scenario.db.read("test", scenario.organization, read).await.unwrap(), (true, 1));
    assert_eq!(scenario.number("SELECT count(*) FROM sightings").await, 0, "they have gone");
}
