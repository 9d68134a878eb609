//! A worker works with what its sandbox has proven, or not at all (S31, S32 of `docs/security.md`).

use std::time::Duration;

use crate::{
    process::{Role, eventually},
    stage::{LONG, Stage},
};

/// Settings under which no level can hold: no way to a network of its own, and nobody vouches for the worker's.
const NOTHING_HOLDS: [(&str, &str); 2] =
    [("PICKET_SLIRP", "/nonexistent"), ("PICKET_WORKER__SANDBOX_EXTERNAL_EGRESS", "unknown")];

/// The worker's exit code, when it ends in time.
async fn exit_code(worker: &mut Role) -> i32 {
    eventually("the end of the worker", Duration::from_secs(30), async || worker.exit_code()).await.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_can_prove_no_level_refuses_to_start() {
    let stage = Stage::new().await;
    let mut worker = stage.start_worker(216_000, &NOTHING_HOLDS);
    assert_eq!(exit_code(&mut worker).await, 78);
    // One of the two words alone is a slip, and a wish for a level is no proof of it.
    for setting in [
        ("PICKET_WORKER__SANDBOX_LEVEL_MIN", "none"),
        ("PICKET_WORKER__I_ACCEPT_UNSANDBOXED_SCANS", "yes"),
        ("PICKET_WORKER__SANDBOX_LEVEL_MIN", "L0"),
    ] {
        let mut worker = stage.start_worker(216_000, &[NOTHING_HOLDS[0], NOTHING_HOLDS[1], setting]);
        assert_eq!(exit_code(&mut worker).await, 78, "{setting:?}");
    }
    assert_eq!(stage.row("SELECT count(*) FROM workers", &[]).await.get::<_, i64>(0), 0, "none of them has beaten");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_tells_what_it_has_proven_and_what_it_has_not() {
    let stage = Stage::new().await;
    let consent = [("PICKET_WORKER__SANDBOX_LEVEL_MIN", "none"), ("PICKET_WORKER__I_ACCEPT_UNSANDBOXED_SCANS", "yes")];
    let _unsandboxed = stage.start_worker(217_000, &[NOTHING_HOLDS.as_slice(), &consent].concat());
    let said = "SELECT level, raw, proven_at IS NOT NULL, proofs #>> '{2,reason}', tool_versions #>> '{nmap,version}'
                FROM workers WHERE level = 'none'";
    let (row, _) = eventually("its heartbeat", LONG, async || stage.rows(said, &[]).await.pop()).await;
    assert_eq!((row.get::<_, bool>(1), row.get::<_, bool>(2)), (false, true));
    assert!(row.get::<_, String>(3).contains("sandbox_external_egress"));
    assert!(row.get::<_, Option<String>>(4).is_some(), "the version of nmap");
    let _sandboxed = stage.start_worker(218_000, &[]);
    let proven = "SELECT proofs FROM workers WHERE level <> 'none' AND proofs @> '[{\"proven\": true}]'";
    eventually("its heartbeat", LONG, async || stage.rows(proven, &[]).await.pop()).await;
}
