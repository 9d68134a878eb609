//! Shares over many rounds, through the database: admitted, claimed and ended, in two pools at once.

use std::collections::BTreeMap;

use picket_domain::{
    AdmissionLimits, EventBody, Needs, NewScan, OrganizationId, Pool, SandboxLevel, Subscription, TaskQueued,
};
use picket_store::{
    events,
    tasks::{admission, lease, turns},
    workers,
};
use picket_testkit::seed;

use crate::scenario::{Scenario, now};

const POOLS: [Pool; 2] = [Pool::Net, Pool::Web];

impl Scenario {
    /// A worker of both pools, with two slots.
    async fn beat_in_both(&self) {
        let beat = workers::WorkerBeat {
            id: self.worker,
            pools: POOLS.to_vec(),
            level: SandboxLevel::L2,
            tools: vec!["nmap".to_owned()],
            slots: 2,
            busy: 0,
            tasks_per_second: 0.0,
            draining: false,
            proof: workers::WorkerProof::default(),
        };
        self.db.operate("test", async |tx| workers::beat(tx, &beat).await).await.unwrap();
    }

    async fn backlog(&self, organization: OrganizationId, pool: Pool, tasks: usize) -> NewScan {
        let mut scan = seed::scan(organization, tasks);
        for task in &mut scan.tasks {
            task.needs = Needs { pool, level: SandboxLevel::L2 };
        }
        self.store(&scan).await.unwrap();
        scan
    }

    /// One round: both pools admit, the worker claims all of it, and all of it ends. Whose tasks they were.
    async fn round(&self) -> Vec<(OrganizationId, Pool)> {
        let limits = AdmissionLimits::none();
        for pool in POOLS {
            self.beat_in_both().await;
            let admit = async |tx: &picket_store::Tx<'_>| {
                admission::admit(tx, pool, 2, &limits, now(), admission::Bearer::Relay).await
            };
            self.db.operate("test", admit).await.unwrap();
        }
        let offers = self.db.operate("test", async |tx| events::claim(tx, 1_000).await).await.unwrap();
        let (mut done, by) = (Vec::new(), self.claimant());
        for outgoing in offers {
            let (organization, EventBody::TaskQueued(message)) = (outgoing.event.organization_id, outgoing.event.body)
            else {
                continue;
            };
            let claim = async |tx: &picket_store::Tx<'_>| lease::claim(tx, &message, by, now()).await;
            let claimed = self.db.run("test", organization, claim).await.unwrap();
            let TaskQueued { pool, .. } = message;
            // Nobody marks events here: on a slow machine one of an earlier round comes again, and is stale.
            done.extend(claimed.map(|_| (organization, pool)));
        }
        let end = "UPDATE tasks SET state = 'done', ended_at = now(), lease_until = NULL WHERE state = 'running'";
        assert_eq!(self.execute(end).await, u64::try_from(done.len()).unwrap());
        done
    }

    async fn turns(&self) -> Vec<(OrganizationId, String)> {
        let sql = "SELECT organization_id, pool FROM organization_turns ORDER BY pool, organization_id";
        let rows = self.database.connect().await.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| (OrganizationId::from_uuid(row.get(0)), row.get(1))).collect()
    }

    async fn forget(&self) -> u64 {
        self.db.operate("test", async |tx| turns::forget(tx).await).await.unwrap()
    }
}

#[tokio::test]
async fn over_many_rounds_shares_in_two_pools_are_as_the_weights_and_nobody_starves() {
    const ROUNDS: usize = 60;
    let scenario = Scenario::new().await;
    let trial = scenario.organization;
    let starter = seed::organization(&scenario.database, Subscription::Starter).await;
    let enterprise = seed::organization(&scenario.database, Subscription::Enterprise).await;
    let weights = BTreeMap::from([(trial, 1.0), (starter, 2.0), (enterprise, 8.0)]);
    // The third has nothing to do in the second pool: what it does in the first one costs it nothing there, nor the others.
    let members = [(Pool::Net, vec![trial, starter, enterprise], 11.0), (Pool::Web, vec![trial, enterprise], 9.0)];
    for (pool, organizations, _) in &members {
        for organization in organizations {
            scenario.backlog(*organization, *pool, 230).await;
        }
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let done = scenario.round().await;
        for pool in POOLS {
            let ended = done.iter().filter(|(_, of)| *of == pool).count();
            assert_eq!(ended, 4, "no room is wasted in {}", pool.name());
        }
        rounds.push(done);
    }
    for (pool, organizations, total) in members {
        for organization in organizations {
            let starts: Vec<usize> =
                rounds.iter().map(|done| done.iter().filter(|one| **one == (organization, pool)).count()).collect();
            let share = f64::from(u32::try_from(starts.iter().sum::<usize>()).unwrap()) / (4.0 * 60.0);
            let due = weights[&organization] / total;
            assert!((share / due - 1.0).abs() < 0.25, "{} of {due} in {}: {starts:?}", share, pool.name());
            // Four starts a round: whoever has one part of eleven has its turn at least every sixth round.
            let longest = starts.split(|count| *count > 0).map(<[usize]>::len).max().unwrap();
            assert!(longest <= 5, "{longest} rounds without a start in {}: {starts:?}", pool.name());
        }
    }
    assert_eq!(scenario.turns().await.len(), 5);
    assert_eq!(scenario.forget().await, 0, "all of them wait");
}

#[tokio::test]
async fn the_turn_of_who_has_nothing_to_do_is_forgotten_and_whoever_is_ahead_keeps_it_for_a_day() {
    let scenario = Scenario::new().await;
    let (waits, idle) = (scenario.organization, seed::organization(&scenario.database, Subscription::Trial).await);
    scenario.backlog(waits, Pool::Net, 30).await;
    scenario.backlog(idle, Pool::Net, 2).await;
    scenario.round().await;
    assert_eq!(scenario.turns().await.len(), 2);
    // As it is while the pool's clock has not come to what it had.
    let ahead = async |tasks: i64| {
        let sql = "UPDATE organization_turns AS t SET moment = c.moment + $2::bigint FROM pool_clocks AS c
                   WHERE c.pool = t.pool AND t.organization_id = $1";
        let client = scenario.database.connect().await;
        assert_eq!(client.execute(sql, &[&idle.uuid(), &tasks]).await.unwrap(), 1);
    };
    ahead(1).await;
    assert_eq!(scenario.forget().await, 0);
    scenario.database.set_now("2026-01-17T14:30:00Z").await;
    let both = scenario.forget().await;
    assert_eq!((both, scenario.turns().await), (1, vec![(waits, "net".to_owned())]), "the other one waits");
    // Owed or not, it counts as one that has had its share, and takes part again.
    scenario.database.set_now(&now().to_string()).await;
    scenario.backlog(idle, Pool::Net, 3).await;
    let done = scenario.round().await;
    assert!(done.iter().any(|(of, _)| *of == idle), "{done:?}");
    ahead(-1).await;
    let wait = "UPDATE tasks SET state = 'queued', queued_at = now() WHERE state = 'ready' AND organization_id = $1";
    let client = scenario.database.connect().await;
    client.execute(wait, &[&idle.uuid()]).await.unwrap();
    assert_eq!(scenario.forget().await, 0, "what is in flight counts");
    let end = "UPDATE tasks SET state = 'cancelled', gap = 'cancelled', ended_at = now() WHERE organization_id = $1 AND state = 'queued'";
    client.execute(end, &[&idle.uuid()]).await.unwrap();
    assert_eq!(scenario.forget().await, 1);
}
