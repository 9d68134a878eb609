//! A worker works with what its sandbox has proven, or not at all (S31, S32 of `docs/security.md`).

use std::{fs, os::unix::fs::PermissionsExt, process::Command, time::Duration};

use picket_domain::{SandboxLevel, Subscription};
use picket_testkit::seed;

use crate::{
    process::{Role, eventually},
    service::Service,
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
    // Somebody who operates the platform, and somebody who does not.
    let others = seed::organization(&stage.database, Subscription::Enterprise).await;
    let operator = format!(
        "INSERT INTO users (id, created_at, email, name, platform_role)
         VALUES (gen_random_uuid(), now(), 'op@example.com', 'Op', 'operator'),
                (gen_random_uuid(), now(), 'other@example.com', 'Other', NULL);
         INSERT INTO memberships (organization_id, user_id, role, created_at)
         SELECT CASE WHEN platform_role IS NULL THEN '{}'::uuid ELSE '{}'::uuid END, id, 'owner', now() FROM users",
        others.uuid(),
        stage.organization.uuid()
    );
    stage.execute(&operator).await;
    let consent = [("PICKET_WORKER__SANDBOX_LEVEL_MIN", "none"), ("PICKET_WORKER__I_ACCEPT_UNSANDBOXED_SCANS", "yes")];
    let _unsandboxed = stage.start_worker(217_000, &[NOTHING_HOLDS.as_slice(), &consent].concat());
    let said = "SELECT level, raw, proven_at IS NOT NULL, proofs #>> '{2,reason}', tool_versions #>> '{nmap,version}'
                FROM workers WHERE level = 'none'";
    let (row, _) = eventually("its heartbeat", LONG, async || stage.rows(said, &[]).await.pop()).await;
    assert_eq!((row.get::<_, bool>(1), row.get::<_, bool>(2)), (false, true));
    assert!(row.get::<_, String>(3).contains("sandbox_external_egress"));
    assert!(row.get::<_, Option<String>>(4).is_some(), "the version of nmap");
    // The same transaction tells the operators, once for each start, and nobody else.
    let told = "SELECT a.organization_id, a.actor, a.entry::jsonb #>> '{after,level}', a.entry::jsonb #>> '{after,proofs,2,reason}'
                FROM audit_log AS a WHERE a.action = 'worker.unsandboxed'";
    let rows = stage.rows(told, &[]).await;
    let [row] = rows.as_slice() else { panic!("expected one audit row, got {}", rows.len()) };
    assert_eq!(row.get::<_, uuid::Uuid>(0), stage.organization.uuid());
    assert_eq!((row.get::<_, &str>(1), row.get::<_, &str>(2)), ("worker", "none"));
    assert!(row.get::<_, &str>(3).contains("sandbox_external_egress"));
    let again = stage.start_worker(225_000, &[NOTHING_HOLDS.as_slice(), &consent].concat());
    let twice = async || (stage.rows(told, &[]).await.len() == 2).then_some(());
    eventually("a row for the second start", LONG, twice).await;
    drop(again);
    let _sandboxed = stage.start_worker(218_000, &[]);
    let proven = "SELECT proofs FROM workers WHERE level <> 'none' AND proofs @> '[{\"proven\": true}]'";
    eventually("its heartbeat", LONG, async || stage.rows(proven, &[]).await.pop()).await;
}

/// Self-tests go on: what held at the start need not hold later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_level_that_is_lost_is_published_and_claims_nothing_more_and_ends_who_needs_it() {
    let Some(installed) = picket_kit::environment("PICKET_SLIRP") else {
        println!("skipped: PICKET_SLIRP is not set");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (stack, away) = (folder.path().join("slirp4netns"), folder.path().join("away"));
    // A copy made here could still be open for writing in a process that another test starts at this moment.
    assert!(Command::new("cp").arg(&installed).arg(&stack).status().unwrap().success());
    let (stage, service) = (Stage::new().await, Service::silent());
    let path = stack.to_str().unwrap().to_owned();
    let settings = [
        ("PICKET_SLIRP", path.as_str()),
        ("PICKET_WORKER__PROVE_SECONDS", "5"),
        ("PICKET_WORKER__HEARTBEAT_MS", "500"),
        // One that waits has its stack already.
        ("PICKET_WORKER__PREPARED_SLOTS", "0"),
    ];
    let _content = stage.start_worker(219_000, &settings);
    let least = [settings.as_slice(), &[("PICKET_WORKER__SANDBOX_LEVEL_MIN", "L1")]].concat();
    let mut strict = stage.start_worker(220_000, &least);
    let levels = async |stage: &Stage| -> Vec<String> {
        stage.rows("SELECT level FROM workers WHERE NOT draining", &[]).await.iter().map(|row| row.get(0)).collect()
    };
    let both = async || (levels(&stage).await == ["L1", "L1"]).then_some(());
    eventually("two workers at level L1", LONG, both).await;

    fs::rename(&stack, &away).unwrap();
    assert_eq!(exit_code(&mut strict).await, 78);
    let weaker = "SELECT proofs #>> '{1,reason}' FROM workers WHERE level = 'L2'";
    let (row, _) = eventually("the weaker level", LONG, async || stage.rows(weaker, &[]).await.pop()).await;
    assert!(row.get::<_, String>(0).contains("slirp4netns"), "{}", row.get::<_, String>(0));
    assert_eq!(levels(&stage).await, ["L2"], "who ended has left");

    // What needs the lost level stays, and what does not is done behind it.
    service.speak();
    let _steward = stage.start("steward", &[]);
    let (needy, modest) = (stage.scan_needing(&service, SandboxLevel::L1).await, stage.scan(&service).await);
    stage.await_state(&modest, "completed").await;
    let row = stage.row("SELECT attempt, state FROM tasks WHERE scan_id = $1", &[&needy.id.uuid()]).await;
    assert_eq!(row.get::<_, i32>(0), 0, "{}", row.get::<_, String>(1));

    fs::rename(&away, &stack).unwrap();
    stage.await_state(&needy, "completed").await;
}
