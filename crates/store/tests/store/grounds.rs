//! What a scan relies on and what is excluded, held against every task before it begins: case T16 of the security design.

mod several;

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use picket_domain::{
    Authority, AuthorizationId, Basis, Exclusion, ExclusionId, Grounds, NewScan, OrganizationId, ProofDigest, ProofId,
    ProofMethod, Reach, Shard, Subscription, Target, TargetId, TaskQueued,
};
use picket_store::{
    administration::Administered,
    authorizations::{self, WrittenAuthorization},
    exclusions::{self, ListedExclusion},
    grounds, proofs, quota, ranges,
    targets::{self, NewTarget, TargetWords},
    tasks::{authority, lease},
};
use picket_testkit::seed;

use crate::scenario::{Scenario, now};

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

impl Scenario {
    async fn target(&self, text: &str) -> TargetId {
        let id = TargetId::mint(now());
        let new =
            NewTarget { id, target: Target::parse(text).unwrap(), words: TargetWords::default(), created_at: now() };
        let organization = self.organization;
        self.db.run("test", organization, async |tx| targets::create(tx, organization, &new).await).await.unwrap();
        id
    }

    /// A token that was found.
    async fn proof(&self, target: TargetId) -> (ProofId, ProofDigest) {
        let (id, digest) = (ProofId::mint(now()), ProofDigest::of("token"));
        let new = proofs::NewProof {
            id,
            target_id: target,
            method: ProofMethod::DnsTxt,
            digest,
            created_at: now(),
            expires_at: now() + days(7),
        };
        let work = async |tx: &picket_store::Tx<'_>| {
            assert!(proofs::issue(tx, &new).await?);
            proofs::found(tx, id, digest, now()).await
        };
        assert!(self.db.run("test", self.organization, work).await.unwrap());
        (id, digest)
    }

    async fn write(&self, target: TargetId, not_after: Timestamp) -> AuthorizationId {
        let new = WrittenAuthorization {
            id: AuthorizationId::mint(now()),
            reach: Reach::Target,
            not_before: now() - days(1),
            not_after,
            approver: "Ada".to_owned(),
            document_sha256: [7; 32],
            recorded_at: now(),
            recorded_by: "usr_x".to_owned(),
        };
        let work = async |tx: &picket_store::Tx<'_>| authorizations::put(tx, target, &new).await;
        self.db.run("test", self.organization, work).await.unwrap()
    }

    /// A scan that relies on this; its tasks are admitted.
    async fn relying(&self, authority: Authority, tasks: usize) -> (NewScan, Vec<TaskQueued>) {
        let scan = NewScan { authority, ..seed::scan(self.organization, tasks) };
        self.store(&scan).await.unwrap();
        self.admit().await;
        let messages = self.messages().await;
        assert_eq!(messages.len(), tasks);
        (scan, messages)
    }

    async fn grounds(&self, asked: &str, at: Timestamp) -> Grounds {
        self.db.view("test", self.organization, async |view| grounds::load(view, asked, at).await).await.unwrap()
    }

    async fn exclude(&self, text: &str) -> u64 {
        let (organization, exclusion) = (self.organization, Exclusion::parse(text).unwrap());
        let new = ListedExclusion {
            id: ExclusionId::mint(now()),
            exclusion: exclusion.clone(),
            reason: None,
            hours: None,
            created_at: now(),
            created_by: "usr_x".to_owned(),
        };
        let work = async |tx: &picket_store::Tx<'_>| {
            quota::lock(tx, organization).await?;
            exclusions::create(tx, organization, &new).await?;
            authority::stop_excluded(tx, organization, &exclusion, now()).await
        };
        self.db.run("test", organization, work).await.unwrap()
    }

    /// Tasks of a scan as `state gap`, sorted.
    async fn tasks(&self, scan: &NewScan) -> Vec<String> {
        let sql = "SELECT state || coalesce(' ' || gap, '') FROM tasks WHERE scan_id = $1 ORDER BY 1";
        let rows = self.database.connect().await.query(sql, &[&scan.id.uuid()]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// A claim when it is that time at the database, by a worker whose clock is `ahead` of it.
    async fn claim_skewed(&self, message: &TaskQueued, at: Timestamp, ahead: SignedDuration) -> bool {
        self.database.set_now(&at.to_string()).await;
        let by = self.claimant();
        let claim = async |tx: &picket_store::Tx<'_>| lease::claim(tx, message, by, at + ahead).await;
        self.db.run("test", self.organization, claim).await.unwrap().is_some()
    }

    async fn claim_at(&self, message: &TaskQueued, at: Timestamp) -> bool {
        self.claim_skewed(message, at, SignedDuration::ZERO).await
    }
}

#[tokio::test]
async fn t16_what_waits_ends_with_the_proof_and_what_runs_goes_on() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let target = scenario.target("example.com").await;
    let (proof, _) = scenario.proof(target).await;
    let (scan, messages) = scenario.relying(Authority::of(Basis::Proof(proof)), 3).await;
    assert!(scenario.claim_at(&messages[0], now()).await);
    // One more that is not admitted, and one that relies on nothing.
    let waiting = NewScan { authority: scan.authority.clone(), ..seed::scan(scenario.organization, 1) };
    scenario.store(&waiting).await.unwrap();
    let other = scenario.create(1).await;
    let organization = scenario.organization;
    let ended = scenario.db.run("test", organization, async |tx| {
        quota::lock(tx, organization).await?;
        assert_eq!(proofs::withdraw(tx, target).await?, 1);
        authority::end_fallen(tx, organization, now()).await
    });
    assert_eq!(ended.await.unwrap(), 3);
    assert_eq!(
        scenario.tasks(&scan).await,
        ["failed target_not_authorized", "failed target_not_authorized", "running"]
    );
    assert_eq!(scenario.state(&waiting).await, "failed");
    assert_eq!(scenario.tasks(&other).await, ["ready"]);
    // The message that was on its way is stale.
    assert!(!scenario.claim_at(&messages[1], now()).await);
}

#[tokio::test]
async fn t16_a_claim_refuses_what_is_not_allowed_any_more() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let target = scenario.target("example.com").await;
    let (proof, _) = scenario.proof(target).await;
    let written = scenario.write(target, now() + days(3)).await;
    for (basis, last) in [(Basis::Proof(proof), 90), (Basis::Authorization(written), 3)] {
        let (scan, messages) = scenario.relying(Authority::of(basis), 2).await;
        assert!(scenario.claim_at(&messages[0], now() + days(last) - SignedDuration::from_secs(1)).await, "{basis:?}");
        assert!(!scenario.claim_at(&messages[1], now() + days(last)).await, "{basis:?}");
        assert_eq!(scenario.tasks(&scan).await, ["failed target_not_authorized", "running"], "{basis:?}");
        scenario.database.set_now(&now().to_string()).await;
    }
    // Where nothing could run, the scan says why.
    let (scan, messages) = scenario.relying(Authority::of(Basis::Proof(proof)), 1).await;
    assert!(!scenario.claim_at(&messages[0], now() + days(90)).await);
    let reason: String = scenario.row("SELECT failure FROM scans WHERE id = $1", &[&scan.id.uuid()]).await.get(0);
    assert!(reason.contains("target_not_authorized"), "{reason}");
}

const SHARD: &str = r#"{"target": "198.51.100.9", "addresses": ["198.51.100.9"], "hosts": []}"#;

#[tokio::test]
async fn t16_admission_ends_what_is_not_allowed_any_more_as_a_claim_does_and_lets_others_go() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let gone = Authority::of(Basis::Proof(ProofId::mint(now())));
    let fallen = NewScan { authority: gone, ..seed::scan(scenario.organization, 2) };
    scenario.store(&fallen).await.unwrap();
    let standing = scenario.create(1).await;
    let excluded = scenario.create(1).await;
    let sql = format!("UPDATE tasks SET shard = '{SHARD}' WHERE scan_id = '{}'", excluded.id.uuid());
    scenario.execute(&sql).await;
    let sql = format!(
        "INSERT INTO exclusions (id, organization_id, kind, value, created_at, created_by)
         VALUES (gen_random_uuid(), '{}', 'network', '198.51.100.0/24', now(), 'usr_x')",
        scenario.organization.uuid()
    );
    scenario.execute(&sql).await;
    let mut admitted = 0;
    for _ in 0..3 {
        admitted += scenario.admit().await;
    }
    assert_eq!(admitted, 1);
    assert_eq!(scenario.tasks(&fallen).await, ["failed target_not_authorized", "failed target_not_authorized"]);
    assert_eq!(scenario.tasks(&excluded).await, ["failed target_excluded"]);
    assert_eq!(
        (scenario.state(&fallen).await.as_str(), scenario.state(&standing).await.as_str()),
        ("failed", "queued")
    );
}

#[tokio::test]
async fn the_steward_finds_the_scans_whose_grounds_have_ended() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let target = scenario.target("example.com").await;
    let written = scenario.write(target, now() + days(3)).await;
    let (scan, _) = scenario.relying(Authority::of(Basis::Authorization(written)), 2).await;
    let fallen = async || scenario.db.operate("test", async |tx| authority::fallen(tx).await).await.unwrap();
    assert_eq!(fallen().await, []);
    let late = now() + days(3);
    // A steward whose clock is ahead ends nothing that the database still allows.
    assert_eq!(end_at(&scenario, &scan, late).await, 0);
    scenario.database.set_now(&late.to_string()).await;
    assert_eq!(fallen().await, [scan.id]);
    // Nor does one that is late keep anything waiting.
    let behind = late - SignedDuration::from_mins(10);
    assert_eq!((end_at(&scenario, &scan, behind).await, end_at(&scenario, &scan, behind).await), (2, 0));
    assert_eq!(fallen().await, []);
    assert_eq!(scenario.state(&scan).await, "failed");
}

/// As a steward does by whose clock it is that time.
async fn end_at(scenario: &Scenario, scan: &NewScan, at: Timestamp) -> u64 {
    scenario.db.operate("test", async |tx| authority::end_if_fallen(tx, scan.id, at).await).await.unwrap()
}

#[tokio::test]
async fn a_worker_whose_clock_is_wrong_begins_what_it_may_and_nothing_else() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let target = scenario.target("example.com").await;
    let written = scenario.write(target, now() + days(3)).await;
    let (end, second) = (now() + days(3), SignedDuration::from_secs(1));
    let (_, messages) = scenario.relying(Authority::of(Basis::Authorization(written)), 4).await;
    // A minute before its first moment and after its last, by whatever clock.
    let shorter = format!("UPDATE target_authorizations SET not_before = '{}'::timestamptz", now() - second);
    assert_eq!(scenario.execute(&shorter).await, 1);
    for (message, ahead) in messages.iter().zip([10, -10]) {
        assert!(scenario.claim_skewed(message, end - second, SignedDuration::from_mins(ahead)).await, "{ahead}");
    }
    for (message, ahead) in messages.iter().skip(2).zip([-10, 10]) {
        assert!(!scenario.claim_skewed(message, end, SignedDuration::from_mins(ahead)).await, "{ahead}");
    }
    let offer = async |at: Timestamp| {
        scenario.database.set_now(&now().to_string()).await;
        let (_, messages) = scenario.relying(Authority::of(Basis::Authorization(written)), 1).await;
        scenario.database.set_now(&at.to_string()).await;
        let offer = lease::Offer { organization_id: scenario.organization, message: messages[0].clone() };
        let start = "UPDATE scans SET state = 'running', started_at = now() WHERE state = 'queued'";
        scenario.execute(start).await;
        let by = scenario.claimant();
        scenario.db.act("test", async |tx| lease::claim_more(tx, &[offer], by).await).await.unwrap().len()
    };
    assert_eq!((offer(end - second).await, offer(end).await), (1, 0));
}

#[tokio::test]
async fn an_exclusion_stops_what_runs_and_what_comes_later() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let (scan, _, task) = scenario.running().await;
    let (later, messages) = scenario.relying(Authority::of(Basis::Operator), 1).await;
    assert_eq!(scenario.exclude("192.0.2.0/24").await, 0);
    assert_eq!(scenario.exclude("127.0.0.0/8").await, 2);
    assert_eq!(scenario.tasks(&scan).await, ["cancelled target_excluded"]);
    assert_eq!(scenario.state(&later).await, "failed");
    // The heartbeat does not get the lease back, so the tool is killed.
    let by = scenario.claimant();
    let kept = scenario.db.operate("test", async |tx| lease::renew(tx, by, &[task.fence]).await).await.unwrap();
    assert_eq!(kept, []);
    assert!(!scenario.claim_at(&messages[0], now()).await);
    // Planned before the exclusion was there, stored after it.
    let slipped = scenario.create(1).await;
    assert_eq!(scenario.admit().await, 0);
    assert_eq!(scenario.tasks(&slipped).await, ["failed target_excluded"]);
}

#[tokio::test]
async fn the_database_excludes_what_the_domain_excludes() {
    let scenario = Scenario::new().await;
    let client = scenario.database.connect().await;
    let exclusions = [
        "example.com",
        "www.example.com",
        "*.example.com",
        "w*.com",
        "*mple*",
        "*.1",
        "192.*",
        "192.0.2.7",
        "192.0.2.0/24",
        "0.0.0.0/0",
        "::/0",
        "2001:db8::/32",
        "www*x.com",
    ];
    let shards = [
        ("www.example.com", vec!["192.0.2.7", "2001:db8::1"]),
        ("example.com", vec!["198.51.100.1"]),
        ("other.net", vec!["192.0.2.9"]),
        ("192.0.2.7", vec!["192.0.2.7"]),
        ("192.0.2.0/30", vec!["192.0.2.0", "192.0.2.1", "192.0.2.2", "192.0.2.3"]),
        ("2001:db8::1", vec!["2001:db8::1"]),
    ];
    for exclusion in exclusions.map(|text| Exclusion::parse(text).unwrap()) {
        for (name, addresses) in &shards {
            let target = Target::parse(name).unwrap();
            let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            let pin = |address: &IpAddr| picket_domain::PinnedHost { name: (*name).to_owned(), address: *address };
            let hosts = target.host().map(|_| addresses.iter().map(pin).collect()).unwrap_or_default();
            let shard = Shard { target: target.to_string(), addresses: addresses.clone(), hosts };
            let shard = serde_json::to_value(&shard).unwrap();
            let sql = "SELECT picket_covers($1, $2, $3)";
            let row = client.query_one(sql, &[&exclusion.kind(), &exclusion.to_string(), &shard]).await.unwrap();
            assert_eq!(row.get::<_, bool>(0), exclusion.covers(&target, &addresses), "{exclusion} of {name}");
        }
    }
}

#[tokio::test]
async fn grounds_are_those_of_the_target_and_of_the_moment() {
    let scenario = Scenario::new().await;
    let target = scenario.target("example.com").await;
    let (proof, digest) = scenario.proof(target).await;
    let network = scenario.target("192.0.2.0/24").await;
    let written = scenario.write(network, now() + days(3)).await;
    scenario.exclude("*.example.org").await;
    let found = scenario.grounds("www.example.com", now()).await;
    let bases: Vec<Basis> = found.grounds.iter().map(|ground| ground.basis).collect();
    assert_eq!(bases, [Basis::Proof(proof), Basis::Authorization(written)]);
    assert_eq!(found.grounds[0].reach, Reach::Below);
    assert_eq!(found.exclusions.len(), 1);
    assert_eq!(scenario.grounds("example.net", now()).await.grounds.len(), 1);
    assert_eq!(scenario.grounds("www.example.com", now() + days(90)).await.grounds, []);
    // Another organization's say nothing.
    let stranger =
        Scenario { organization: seed::organization(&scenario.database, Subscription::Trial).await, ..scenario };
    assert_eq!(stranger.grounds("www.example.com", now()).await, Grounds::default());
    let overtaken = stranger.db.operate("test", async |tx| proofs::found(tx, proof, ProofDigest::of("x"), now()).await);
    assert!(!overtaken.await.unwrap(), "the token of another look");
    let _ = digest;
}

#[tokio::test]
async fn two_misses_in_a_row_end_a_proof() {
    let scenario = Scenario::new().await;
    let target = scenario.target("example.com").await;
    let (proof, digest) = scenario.proof(target).await;
    let due = async |at| scenario.db.operate("test", async |tx| proofs::due(tx, at, 10).await).await.unwrap();
    let miss = async |one: &proofs::DueProof, at| {
        scenario.db.operate("test", async |tx| proofs::missed(tx, one, at).await).await.unwrap()
    };
    assert_eq!(due(now() + days(7)).await, []);
    let week = now() + days(7) + SignedDuration::from_secs(1);
    let first = due(week).await.pop().unwrap();
    assert_eq!((first.id, first.target.clone().unwrap().to_string()), (proof, "example.com".to_owned()));
    assert_eq!(miss(&first, week).await, Some(false));
    assert_eq!(miss(&first, week).await, None, "of two stewards one counts");
    // The next look comes after a day; a token that is there again counts from zero.
    assert_eq!(due(week + SignedDuration::from_hours(23)).await, []);
    let day = week + SignedDuration::from_hours(25);
    assert_eq!(due(day).await.len(), 1);
    assert!(scenario.db.operate("test", async |tx| proofs::found(tx, proof, digest, day).await).await.unwrap());
    let mut at = day;
    for (wait, ended) in [(days(8), false), (days(2), true)] {
        at += wait;
        let one = due(at).await.pop().unwrap();
        assert_eq!(miss(&one, at).await, Some(ended));
    }
    assert_eq!(due(at + days(30)).await, []);
    assert_eq!(scenario.grounds("example.com", at).await.grounds, []);
}

#[tokio::test]
async fn a_proof_that_an_unfinished_scan_relies_on_is_looked_for_daily() {
    let scenario = Scenario::new().await;
    scenario.set_plan(Subscription::Enterprise).await;
    let target = scenario.target("example.com").await;
    let (proof, _) = scenario.proof(target).await;
    let day = now() + SignedDuration::from_hours(25);
    let due = async || scenario.db.operate("test", async |tx| proofs::due(tx, day, 10).await).await.unwrap().len();
    assert_eq!(due().await, 0);
    scenario.relying(Authority::of(Basis::Proof(proof)), 1).await;
    assert_eq!(due().await, 1);
}
