//! Exclusions with hours: what is on its way when they begin is stopped, once, however many stewards look.

use picket_steward::{Admission, Excluded, StewardSettings};

use crate::stage::Stage;

#[tokio::test]
async fn what_is_on_its_way_when_the_hours_of_an_exclusion_begin_is_stopped_once() {
    let stage = Stage::new().await;
    // A Thursday, 14:30 UTC.
    let exclude = "INSERT INTO exclusions (id, organization_id, created_at, created_by, kind, value, hours)
                   SELECT gen_random_uuid(), id, now(), 'usr_x', 'network', '127.0.0.0/8',
                          '{\"days\": [\"thu\"], \"begins\": \"10:00\", \"ends\": \"11:00\", \"time_zone\": \"America/New_York\"}'
                   FROM organizations";
    stage.database.connect().await.batch_execute(exclude).await.unwrap();
    stage.database.set_now("2026-01-15T14:30:00Z").await;
    stage.beat(3).await;
    stage.create(3).await;
    let admission = Admission::new(stage.db.clone(), stage.clock.clone(), StewardSettings::default());
    assert_eq!(admission.admit().await.unwrap(), 3);
    let steward = || Excluded::new(stage.db.clone(), stage.clock.clone());
    assert_eq!(steward().stop().await.unwrap(), 0, "its hours begin at three");
    stage.database.set_now("2026-01-15T15:00:00Z").await;
    let (one, other) = (steward(), steward());
    let (one, other) = tokio::join!(one.stop(), other.stop());
    assert_eq!(one.unwrap() + other.unwrap(), 3);
    let stopped = "SELECT count(*) FROM tasks WHERE state = 'cancelled' AND gap = 'target_excluded'";
    assert_eq!(stage.count(stopped).await, 3);
    assert_eq!(stage.count("SELECT count(*) FROM scans WHERE state = 'failed'").await, 1);
    // Behind the hours nothing is taken up again, and nothing more is stopped.
    stage.database.set_now("2026-01-15T16:00:00Z").await;
    stage.create(1).await;
    assert_eq!(steward().stop().await.unwrap(), 0);
    assert_eq!(stage.count(stopped).await, 3);
}
