//! Medians of the newest complete runs of each tool.

use std::time::Duration;

use picket_store::durations;

use crate::scenario::{Scenario, now};

#[tokio::test]
async fn a_median_is_of_complete_runs_and_of_enough_of_them() {
    let scenario = Scenario::new().await;
    scenario.create(1).await;
    let measure = async || {
        let tools = ["nmap", "sslscan", "absent"];
        scenario.db.operate("test", async |tx| durations::measure(tx, &tools, now()).await).await.unwrap()
    };
    // Runs of 1 to 19 seconds; what failed, was partial, or ended before it began is none.
    let copies = |tool: &str, from: u32, to: u32, state: &str, gap: &str, sign: &str| {
        format!(
            "INSERT INTO tasks (id, organization_id, scan_id, tool, pool, level, params, shard, created_at, ready_at, state,
                                started_at, ended_at, gap)
             SELECT gen_random_uuid(), organization_id, scan_id, '{tool}', 'net', 'L2', '{{}}', '{{}}', now(), now(), '{state}',
                    now(), now() {sign} make_interval(secs => n), {gap}
             FROM (SELECT organization_id, scan_id FROM tasks LIMIT 1) AS t, generate_series({from}, {to}) AS n"
        )
    };
    scenario.execute(&copies("nmap", 1, 19, "done", "NULL", "+")).await;
    scenario.execute(&copies("nmap", 900, 999, "failed", "'timed_out'", "+")).await;
    scenario.execute(&copies("nmap", 900, 999, "done", "'timed_out'", "+")).await;
    scenario.execute(&copies("nmap", 1, 99, "done", "NULL", "-")).await;
    assert_eq!(measure().await, 0, "nineteen are too few");
    scenario.execute(&copies("nmap", 10, 10, "done", "NULL", "+")).await;
    scenario.execute(&copies("sslscan", 30, 49, "done", "NULL", "+")).await;
    assert_eq!(measure().await, 2);
    assert_eq!(measure().await, 2, "what is known is measured anew");
    let mut all = scenario.db.look_up("test", async |tx| durations::all(tx).await).await.unwrap();
    all.sort();
    let expected = [("nmap", 10_000), ("sslscan", 39_500)];
    assert_eq!(all, expected.map(|(tool, ms)| (tool.to_owned(), Duration::from_millis(ms))));
}
