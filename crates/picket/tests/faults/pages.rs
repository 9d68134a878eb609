//! A plan whose tasks are made page by page, and stewards that die on the way.

use picket_domain::{LaterTasks, NewScan};
use picket_testkit::seed;

use crate::{
    process::eventually,
    stage::{LONG, Stage},
};

/// Kills at moments of their own, besides those before and behind a page.
const KILLS: u32 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stewards_that_are_killed_between_and_within_pages_make_each_task_of_a_slash_16_once() {
    let stage = Stage::new().await;
    let seeded = seed::scan(stage.organization, 1);
    let like = seeded.tasks[0].clone();
    let later = LaterTasks {
        tool: like.tool.to_owned(),
        needs: like.needs,
        params: like.params,
        opens: like.opens,
        target: "127.1.0.0/16".to_owned(),
        first: "127.1.0.0".parse().unwrap(),
        addresses: 65_536,
        size: 16,
    };
    stage.store(&NewScan { target: later.target.clone(), tasks: Vec::new(), later: vec![later], ..seeded }).await;
    let unmade = async || -> i64 { stage.row("SELECT unmade FROM scans", &[]).await.get(0) };
    for place in ["steward::before_page", "steward::after_page", "steward::after_page"] {
        let mut role = stage.start("steward", &[("FAILPOINTS", &format!("{place}=1*return(kill)"))]);
        eventually("the death of a steward", LONG, async || role.exit_code()).await;
        assert!(role.log().contains(place), "{place}");
    }
    assert_eq!(unmade().await, 4_096 - 2 * 64, "a page of each steward that came behind one");
    for kill in 0..KILLS {
        let before = unmade().await;
        let mut roles = [0, 1].map(|_| stage.start("steward", &[]));
        eventually("pages", LONG, async || (before == 0 || unmade().await < before).then_some(())).await;
        tokio::time::sleep(std::time::Duration::from_millis(u64::from(kill) * 7)).await;
        roles.iter_mut().for_each(crate::process::Role::kill);
        println!("killed with {} tasks to come", unmade().await);
    }
    let _clean = stage.start("steward", &[]);
    eventually("every page", LONG, async || (unmade().await == 0).then_some(())).await;
    let sql = "SELECT count(*), count(DISTINCT a), count(DISTINCT t.id), min((t.share * 4096)::text), max((t.share * 4096)::text)
               FROM tasks AS t, jsonb_array_elements_text(t.shard -> 'addresses') AS a";
    let row = stage.row(sql, &[]).await;
    assert_eq!([0, 1, 2].map(|column| row.get::<_, i64>(column)), [65_536, 65_536, 4_096]);
    assert_eq!((row.get::<_, &str>(3), row.get::<_, &str>(4)), ("1", "1"));
}
