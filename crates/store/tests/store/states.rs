//! The database's state machines are the domain's: every pair of states is tried.

use picket_domain::TaskState;

use crate::scenario::Scenario;

/// Sets what the constraints of a state want.
fn task_update(state: TaskState) -> String {
    let (queued, lease, ended, gap) = match state {
        TaskState::Ready => ("NULL", "NULL", "NULL", "NULL"),
        TaskState::Queued => ("now()", "NULL", "NULL", "NULL"),
        TaskState::Running => ("now()", "now()", "NULL", "NULL"),
        TaskState::Done => ("now()", "NULL", "now()", "NULL"),
        TaskState::Failed | TaskState::Cancelled => ("now()", "NULL", "now()", "'cancelled'"),
    };
    format!(
        "UPDATE tasks SET state = '{}', queued_at = {queued}, lease_until = {lease}, ended_at = {ended}, gap = {gap}, \
         worker_id = gen_random_uuid()",
        state.name()
    )
}

#[tokio::test]
async fn tasks_move_as_the_domain_says() {
    let scenario = Scenario::new().await;
    scenario.create(1).await;
    let client = scenario.database.connect().await;
    for from in TaskState::ALL {
        for to in TaskState::ALL.into_iter().filter(|to| *to != from) {
            client.batch_execute("ALTER TABLE tasks DISABLE TRIGGER tasks_move_only_forward").await.unwrap();
            client.batch_execute(&task_update(from)).await.unwrap();
            client.batch_execute("ALTER TABLE tasks ENABLE TRIGGER tasks_move_only_forward").await.unwrap();
            let moved = client.batch_execute(&task_update(to)).await;
            assert_eq!(moved.is_ok(), from.may_become(to), "{from:?} to {to:?}: {moved:?}");
        }
    }
}

#[tokio::test]
async fn a_fence_never_goes_back() {
    let scenario = Scenario::new().await;
    scenario.running().await;
    let refused = scenario.database.connect().await.execute("UPDATE tasks SET attempt = 0", &[]).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn a_scan_that_ended_stays_ended() {
    let scenario = Scenario::new().await;
    let scan = scenario.create(0).await;
    assert_eq!(scenario.state(&scan).await, "failed", "a plan that nobody can do ends at once");
    for state in ["created", "queued", "running", "completed", "cancelled"] {
        let sql = format!("UPDATE scans SET state = '{state}', failure = NULL, started_at = now()");
        assert!(scenario.database.connect().await.execute(&sql, &[]).await.is_err(), "{state}");
    }
}

#[tokio::test]
async fn a_report_that_ended_stays_ended() {
    let scenario = Scenario::new().await;
    let scan = scenario.create(1).await;
    let client = scenario.database.connect().await;
    client
        .execute(
            "INSERT INTO reports (id, organization_id, number, format, scan_ids, request, requested_by, created_at,
                                  state, attempt, ended_at, failure)
             VALUES (gen_random_uuid(), $1, 1, 'pdf', ARRAY[$2::uuid], '{}', 'usr_test', now(), 'failed', 2, now(), 'x')",
            &[&scenario.organization.uuid(), &scan.id.uuid()],
        )
        .await
        .unwrap();
    let revive = "UPDATE reports SET state = 'queued', ended_at = NULL, failure = NULL";
    assert!(client.batch_execute(revive).await.is_err());
    assert!(client.batch_execute("UPDATE reports SET attempt = 1").await.is_err());
    assert!(client.batch_execute("UPDATE reports SET warnings = ARRAY['seen']").await.is_ok());
}
