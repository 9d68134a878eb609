//! F5 for what admission keeps of fairness over time: stewards that die around it, two at once. Each task that is admitted is
//! charged once, to its organization and to its pool's clock, in the transaction that admits it.

use picket_domain::Subscription;
use picket_testkit::seed;
use serde_json::json;

use crate::{platform::Platform, process::eventually, stage::LONG};

/// After how many rounds a steward dies, and where.
const DEATHS: [&str; 4] = [
    "steward::before_admit=2*off->1",
    "steward::after_admit=1",
    "steward::after_admit=3*off->1",
    "steward::before_admit=9*off->1",
];
/// What stands on the queue at most: a tenth of a second of the work of two slots, and two that one may be ahead. What a steward had in its hand when it died counts
/// as its organization's until a relay brings it, and the other one goes ahead meanwhile.
const QUEUE: i64 = 12;
/// Tasks of each organization.
const TASKS: i64 = 150;

/// Who did what in which transaction.
const LEDGER: &str = "
CREATE TABLE faults.charges (
    place       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    what        text NOT NULL,
    organization_id uuid,
    moment      double precision
);
CREATE FUNCTION faults.charge() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    after jsonb := to_jsonb(NEW);
BEGIN
    INSERT INTO faults.charges (what, organization_id, moment)
        VALUES (TG_TABLE_NAME, (after ->> 'organization_id')::uuid, (after ->> 'moment')::double precision);
    RETURN NULL;
END
$$;
CREATE TRIGGER charged AFTER INSERT OR UPDATE ON pool_clocks FOR EACH ROW EXECUTE FUNCTION faults.charge();
CREATE TRIGGER charged AFTER INSERT OR UPDATE ON organization_turns FOR EACH ROW EXECUTE FUNCTION faults.charge();
CREATE TRIGGER charged AFTER UPDATE ON tasks FOR EACH ROW
    WHEN (OLD.state = 'ready' AND NEW.state = 'queued') EXECUTE FUNCTION faults.charge();";

/// Transactions that admitted without charging each organization and the clock once, or charged without admitting.
const UNEVEN: &str = "
SELECT count(*) FROM (
    SELECT transaction
    FROM faults.charges
    GROUP BY transaction
    HAVING count(*) FILTER (WHERE what = 'pool_clocks') <> 1
        OR count(DISTINCT organization_id) FILTER (WHERE what = 'tasks')
           <> count(*) FILTER (WHERE what = 'organization_turns')
) AS uneven";

/// The clock of the pool is of the sum of all parts: both organizations have the weight of the largest plan, and a task goes
/// on by a part of those who wait.
const CLOCK: &str = "
SELECT count(*) FILTER (WHERE moment <= before),
       count(*) FILTER (WHERE moment - before NOT BETWEEN tasks / (2 * $1::float8) - 1e-6 AND tasks / $1::float8 + 1e-6)
FROM (
    SELECT c.moment, coalesce(lag(c.moment) OVER (ORDER BY c.place), 0) AS before,
           (SELECT count(*) FROM faults.charges AS t WHERE t.transaction = c.transaction AND t.what = 'tasks') AS tasks
    FROM faults.charges AS c WHERE c.what = 'pool_clocks'
) AS steps";

/// By how many tasks one organization was ahead of the other at most, between two rounds while both had some that waited.
const AHEAD: &str = "
SELECT max(abs(ours - theirs))::bigint FROM (
    SELECT sum(ours) OVER upto AS ours, sum(theirs) OVER upto AS theirs FROM (
        SELECT max(place) AS place, count(*) FILTER (WHERE organization_id = $1) AS ours,
               count(*) FILTER (WHERE organization_id <> $1) AS theirs
        FROM faults.charges WHERE what = 'tasks' GROUP BY transaction
    ) AS rounds
    WINDOW upto AS (ORDER BY place)
) AS counts
WHERE greatest(ours, theirs) < $2::bigint";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_stewards_that_die_around_admission_charge_each_task_once() {
    let platform = Platform::new("F5, clocks").await;
    platform.stage.execute(LEDGER).await;
    let other = seed::organization(&platform.stage.database, Subscription::Enterprise).await;
    let _others = ["worker", "dispatcher"].map(|role| platform.start(role, ""));
    let long = json!({"tasks": TASKS, "sleep_ms": 20});
    // Neither is there before the other: nobody admits yet.
    platform.scan(&long).await;
    platform.stage.simulate_for(other, &long).await;
    for place in DEATHS {
        let mut first = platform.start("steward", &format!("{place}*return(kill)"));
        let mut second = platform.start("steward", "");
        platform.death(&mut first).await;
        // Wherever it is now.
        platform.kill(&mut second);
    }
    let _two = ["steward", "steward"].map(|role| platform.start(role, ""));
    let done = "SELECT count(*) FROM tasks WHERE state = 'done'";
    eventually("all of both", LONG, async || {
        (platform.stage.row(done, &[]).await.get::<_, i64>(0) == 2 * TASKS).then_some(())
    })
    .await;
    platform.verdict().await;
    assert_eq!(platform.stage.row(UNEVEN, &[]).await.get::<_, i64>(0), 0, "charged as admitted");
    let weight = f64::from(Subscription::Enterprise.limits().weight);
    let row = platform.stage.row(CLOCK, &[&weight]).await;
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (0, 0), "the clock goes on by what was admitted");
    let ahead: i64 = platform.stage.row(AHEAD, &[&other.uuid(), &TASKS]).await.get(0);
    println!("F5, clocks: nobody was ahead by more than {ahead} of {TASKS} tasks");
    assert!(ahead <= QUEUE, "{ahead}");
}
