//! A plan whose tasks are made page by page, and stewards that die on the way.

use picket_domain::{LaterTasks, NewScan};
use picket_testkit::seed;

use crate::{
    process::eventually,
    stage::{LONG, Stage},
};

/// After how many rounds a steward dies, and another one with it, wherever that is.
const PAGES: [u32; 3] = [1, 2, 4];

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
    for pages in PAGES {
        let before = unmade().await;
        let dies = format!("steward::after_page={pages}*off->1*return(kill)");
        let mut first = stage.start("steward", &[("FAILPOINTS", &dies)]);
        let mut other = stage.start("steward", &[]);
        eventually("the death of a steward", LONG, async || first.exit_code()).await;
        assert!(first.log().contains("steward::after_page"), "it died by itself");
        eventually("pages", LONG, async || (unmade().await < before).then_some(())).await;
        // Wherever it is now, mostly within a page.
        other.kill();
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
