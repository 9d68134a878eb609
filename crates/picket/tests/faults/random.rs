//! F6, F26, F28: everything is killed at random, all at once, or asked to end, under load. The seed is printed;
//! `FAULTS_SEED` repeats a run, `FAULTS_SECONDS` makes it longer.

use std::time::{Duration, Instant};

use picket_domain::Subscription;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::{Value, json};

use crate::{
    platform::Platform,
    process::{Role, eventually},
    proxy::Way,
    stage::LONG,
};

/// How long a role may take to end after SIGTERM.
const DRAINED: Duration = Duration::from_secs(30);

/// The roles of a platform, and where they come from when they are gone.
const ROLES: [&str; 6] = ["steward", "steward", "worker", "worker", "dispatcher", "renderer"];

fn seeded(experiment: &str) -> StdRng {
    let given = picket_testkit::optional("FAULTS_SEED").map(|seed| seed.parse().expect("a number"));
    let seed: u64 = given.unwrap_or_else(|| rand::rng().random());
    println!("{experiment}: FAULTS_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// How long a random experiment lasts.
fn seconds(short: u64) -> Duration {
    let given = picket_testkit::optional("FAULTS_SECONDS").map(|seconds| seconds.parse().expect("a number"));
    Duration::from_secs(given.unwrap_or(short))
}

fn anything(random: &mut StdRng) -> Value {
    match random.random_range(0..10) {
        0 => json!({"fail": 3}),
        1 => json!({"flood": 17 << 20, "findings": 1, "hang": true}),
        2 => json!({"crash": 11, "findings": 1}),
        3 => json!({"tasks": 5, "findings": 2, "sleep_ms": random.random_range(0..300)}),
        _ => json!({"findings": random.random_range(0..4), "sleep_ms": random.random_range(0..800)}),
    }
}

/// A service is cut, slow or silent for a moment, whose length is drawn: time itself is the fault.
async fn disturb(platform: &Platform, random: &mut StdRng) {
    let ways = [&platform.postgres, &platform.broker, &platform.redis];
    let faults = [Way::Cut, Way::Silent, Way::Slow(Duration::from_millis(40))];
    let (way, fault) = (ways[random.random_range(0..3)], faults[random.random_range(0..3)]);
    way.set(fault);
    tokio::time::sleep(Duration::from_millis(random.random_range(50..1_000))).await;
    way.set(Way::Open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f6_whatever_is_killed_at_random_under_load_nothing_that_was_accepted_is_lost() {
    let mut random = seeded("F6");
    let platform = Platform::new("F6").await;
    // Less in flight than there are slots, and fewer scans at once than are asked for: both limits are used up.
    platform.subscribe(Subscription::Starter).await;
    let start = |role: &str| platform.start_with(role, "", &[("PICKET_WORKER__WALL_SECONDS", "2")]);
    let mut roles: Vec<(&str, Role)> = ROLES.map(|role| (role, start(role))).into();
    let (mut gateway, mut base) = platform.gateway("").await;
    let (end, mut faults, mut accepted) = (Instant::now() + seconds(20), 0, 0);
    let late = end + LONG;
    // Until there was some load and some faults, too: a busy machine has little of either in that time.
    while Instant::now() < end || (accepted <= 10 || faults <= 5) && Instant::now() < late {
        let next = Instant::now() + Duration::from_millis(random.random_range(300..1_500));
        while Instant::now() < next {
            let parameters = anything(&mut random);
            accepted += usize::from(platform.create(&base, None, &parameters).await == Some(201));
        }
        let victim = random.random_range(0..=roles.len() + 2);
        match roles.get_mut(victim) {
            Some((role, process)) => {
                platform.kill(process);
                *process = start(role);
            }
            None if victim == ROLES.len() => {
                platform.kill(&mut gateway);
                (gateway, base) = platform.gateway("").await;
            }
            None => disturb(&platform, &mut random).await,
        }
        faults += 1;
        // One that gave up since the database was away is started again, as a supervisor does.
        for (role, process) in &mut roles {
            if process.exit_code().is_some() {
                *process = start(role);
            }
        }
    }
    println!("F6: {accepted} scans accepted, {faults} faults");
    platform.verdict().await;
    assert!(accepted > 10 && faults > 5, "{accepted} scans, {faults} faults");
    println!("F6: {} tasks in flight at once", platform.most_in_flight().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f26_a_platform_that_loses_power_comes_up_in_any_order_and_before_its_services() {
    let mut random = seeded("F26");
    let platform = Platform::new("F26").await;
    // Nothing they need is there yet.
    platform.postgres.set(Way::Cut);
    platform.broker.set(Way::Cut);
    let mut order = ["steward", "worker", "dispatcher"];
    for round in 0..3 {
        order.shuffle(&mut random);
        println!("F26: {order:?}");
        let mut roles = order.map(|role| (role, platform.start(role, "")));
        if round == 0 {
            for (role, process) in &mut roles {
                let missed = async || (process.exit_code().is_some() || process.log().contains("WARN")).then_some(());
                eventually(&format!("the {role} misses its services"), LONG, missed).await;
            }
        }
        platform.broker.set(Way::Open);
        platform.postgres.set(Way::Open);
        for _ in 0..6 {
            platform.scan(&json!({"tasks": 3, "findings": 2, "sleep_ms": 200})).await;
        }
        // How long the power stays is drawn: at another moment of everybody's work each time.
        let pause = Instant::now() + Duration::from_millis(random.random_range(500..2_500));
        while Instant::now() < pause {
            // One that gave up since the database was away is started again, as a supervisor does.
            for (role, process) in &mut roles {
                if process.exit_code().is_some() {
                    *process = platform.start(role, "");
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Power is lost.
        roles.iter_mut().for_each(|(_, role)| platform.kill(role));
    }
    let _sound = platform.sound();
    platform.verdict().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f28_roles_that_are_told_to_stop_under_load_end_in_time_and_nothing_counts_as_failed() {
    let platform = Platform::new("F28").await;
    let mut roles = platform.sound();
    let (gateway, base) = platform.gateway("").await;
    roles.push(gateway);
    for _ in 0..12 {
        let accepted = platform.create(&base, None, &json!({"tasks": 2, "findings": 1, "sleep_ms": 700})).await;
        assert_eq!(accepted, Some(201));
    }
    // On a machine that is busy the others may have ended by now.
    platform.scan(&json!({"tasks": 4, "findings": 1, "sleep_ms": 4_000})).await;
    let asking = async {
        let mut refused = 0;
        for _ in 0..200 {
            match platform.create(&base, None, &json!({"findings": 1})).await {
                Some(201) => {}
                // Who answers no more has accepted nothing.
                None => refused += 1,
                Some(status) => panic!("an answer of {status} while it stops"),
            }
            if refused > 2 {
                return;
            }
        }
    };
    let stopping = async {
        let running = "SELECT count(*) FROM tasks WHERE state = 'running'";
        let busy = async || (platform.stage.row(running, &[]).await.get::<_, i64>(0) >= 4).then_some(());
        eventually("every slot is busy", LONG, busy).await;
        roles.iter().for_each(|role| role.signal("TERM"));
        for role in &mut roles {
            let (code, after) = eventually("the end of a role", DRAINED, async || role.exit_code()).await;
            assert_eq!(code, 0, "after {after:?}: {}", role.log());
        }
    };
    tokio::join!(asking, stopping);
    let _again = platform.sound();
    platform.verdict().await;
    let counted = platform.stage.row("SELECT count(*) FROM tasks WHERE failures > 0", &[]).await;
    assert_eq!(counted.get::<_, i64>(0), 0, "a stop is no failure");
}
