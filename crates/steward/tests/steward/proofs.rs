//! Looking again: a record that vanished ends its proof and what waits for it, however many stewards look.

use jiff::SignedDuration;
use picket_domain::{
    Authority, Basis, NewScan, OrganizationId, ProofDigest, ProofId, ProofMethod, ProofNews, Subscription, Target,
    TargetId, UserId, VERIFIED_LASTS,
};
use picket_outbound::OutboundSettings;
use picket_planner::Prover;
use picket_steward::{Fallen, Proofs};
use picket_store::{
    Tx,
    mails::target_news,
    proofs, scans,
    targets::{self, NewTarget, TargetWords},
};
use picket_testkit::{Dns, seed};

use crate::stage::Stage;

/// One that asks this server alone.
pub(crate) fn prover(dns: &Dns) -> Prover {
    let outbound = OutboundSettings { name_servers: vec![dns.address], ..OutboundSettings::default() };
    Prover::open(outbound).unwrap()
}

impl Stage {
    /// A proven target, and a scan that relies on the proof.
    pub(crate) async fn proven(&self, name: &str) -> ProofId {
        let now = self.clock.now();
        let (id, digest) = (ProofId::mint(now), ProofDigest::of("token"));
        let (target_id, target) = (TargetId::mint(now), Target::parse(name).unwrap());
        let target = NewTarget { id: target_id, target, words: TargetWords::default(), created_at: now };
        let method = ProofMethod::DnsTxt;
        let new = proofs::NewProof { id, target_id, method, digest, created_at: now, expires_at: now };
        let authority = Authority::of(Basis::Proof(id));
        let scan = NewScan { authority, ..seed::scan(self.organization, 2) };
        let store = async |tx: &Tx<'_>| {
            targets::create(tx, self.organization, &target).await?;
            assert!(proofs::issue(tx, &new).await? && proofs::found(tx, id, digest, now).await?);
            scans::create(tx, &scan, now).await
        };
        self.db.run("test", self.organization, store).await.unwrap();
        id
    }
}

#[tokio::test]
async fn t16_a_record_that_is_gone_ends_its_proof_and_what_waits() {
    let stage = Stage::new().await;
    let dns = Dns::start().await;
    stage.proven("example.com").await;
    dns.set_texts("_picket-challenge.example.com", &["picket-verification=token"]);
    let steward = || Proofs::new(stage.db.clone(), prover(&dns), stage.clock.clone());
    let (one, other) = (steward(), steward());
    assert_eq!(one.check().await.unwrap(), (0, 0), "it was looked for a moment ago");
    // Daily, since a scan relies on it; a look that finds it counts from zero.
    stage.clock.advance(SignedDuration::from_hours(25));
    assert_eq!(one.check().await.unwrap(), (1, 0));
    assert_eq!(one.check().await.unwrap(), (0, 0));
    dns.set_texts("_picket-challenge.example.com", &["picket-verification=another"]);
    stage.clock.advance(SignedDuration::from_hours(25));
    let (first, second) = tokio::join!(one.check(), other.check());
    assert_eq!(first.unwrap().1 + second.unwrap().1, 0, "both looked, one counts");
    assert_eq!(stage.count("SELECT failures::bigint FROM target_proofs").await, 1);
    assert_eq!(stage.count("SELECT count(*) FROM tasks WHERE state = 'ready'").await, 2);
    stage.clock.advance(SignedDuration::from_hours(25));
    let (first, second) = tokio::join!(one.check(), other.check());
    assert_eq!(first.unwrap().1 + second.unwrap().1, 1);
    let failed = "SELECT count(*) FROM tasks WHERE state = 'failed' AND gap = 'target_not_authorized'";
    assert_eq!(stage.count(failed).await, 2);
    assert_eq!(stage.count("SELECT count(*) FROM scans WHERE state = 'failed'").await, 1);
    let ended = "SELECT count(*) FROM audit_log WHERE action = 'target.proof_ended' AND actor = 'steward'";
    assert_eq!(stage.count(ended).await, 1);
    stage.clock.advance(SignedDuration::from_hours(24 * 30));
    assert_eq!(one.check().await.unwrap(), (0, 0), "an ended proof is not looked for");
}

#[tokio::test]
async fn what_relies_on_a_proof_that_is_too_old_ends() {
    let stage = Stage::new().await;
    stage.proven("example.com").await;
    stage.create(1).await;
    let fallen = Fallen::new(stage.db.clone(), stage.clock.clone());
    assert_eq!(fallen.end().await.unwrap(), 0);
    stage.clock.advance(VERIFIED_LASTS);
    assert_eq!(fallen.end().await.unwrap(), 0, "a clock that is ahead ends nothing");
    stage.database.set_now(&stage.clock.now().to_string()).await;
    let other = Fallen::new(stage.db.clone(), stage.clock.clone());
    let (one, two) = tokio::join!(fallen.end(), other.end());
    assert_eq!(one.unwrap() + two.unwrap(), 2);
    assert_eq!(stage.count("SELECT count(*) FROM tasks WHERE state = 'ready'").await, 1, "what relies on nothing");
}

impl Stage {
    async fn member(&self, organization: OrganizationId, role: &str) {
        let id = UserId::mint(self.clock.now());
        let client = self.database.connect().await;
        let user = "INSERT INTO users (id, created_at, email, name) VALUES ($1, now(), $2, 'Ada')";
        client.execute(user, &[&id.uuid(), &format!("{id}@example.com")]).await.unwrap();
        let member = "INSERT INTO memberships (organization_id, user_id, role, created_at) VALUES ($1, $2, $3, now())";
        client.execute(member, &[&organization.uuid(), &id.uuid(), &role]).await.unwrap();
    }

    async fn letters(&self) -> Vec<String> {
        let sql =
            "SELECT template || ' ' || (SELECT role FROM memberships WHERE user_id = reader) FROM mails ORDER BY 1";
        let rows = self.database.connect().await.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

#[tokio::test]
async fn owners_and_admins_hear_of_a_proof_that_is_missing_and_of_its_end() {
    let stage = Stage::new().await;
    let dns = Dns::start().await;
    for role in ["owner", "admin", "analyst", "viewer"] {
        stage.member(stage.organization, role).await;
    }
    stage.proven("example.com").await;
    let steward = Proofs::new(stage.db.clone(), prover(&dns), stage.clock.clone());
    dns.set_texts("_picket-challenge.example.com", &["nothing of the kind"]);
    stage.clock.advance(SignedDuration::from_hours(25));
    steward.check().await.unwrap();
    assert_eq!(stage.letters().await, ["proof_missing admin", "proof_missing owner"]);
    stage.clock.advance(SignedDuration::from_hours(25));
    steward.check().await.unwrap();
    let all = ["proof_ended admin", "proof_ended owner", "proof_missing admin", "proof_missing owner"];
    assert_eq!(stage.letters().await, all);
    // Whoever is written to all the time reads nothing.
    let target = "SELECT organization_id, target_id FROM target_proofs";
    let row = stage.database.connect().await.query_one(target, &[]).await.unwrap();
    let of = (OrganizationId::from_uuid(row.get(0)), TargetId::from_uuid(row.get(1)));
    let now = stage.clock.now();
    let write = async |tx: &Tx<'_>| target_news::write(tx, of, ProofNews::Ended, now).await;
    let mut written = Vec::new();
    for _ in 0..11 {
        written.push(stage.db.operate("test", write).await.unwrap());
    }
    assert_eq!((written[8], written[9], written.iter().sum::<u64>()), (2, 0, 18));
}

#[tokio::test]
async fn both_hear_of_a_target_that_two_have_proven_once_and_nobody_else() {
    let stage = Stage::new().await;
    let dns = Dns::start().await;
    stage.member(stage.organization, "owner").await;
    stage.proven("example.com").await;
    let steward = Proofs::new(stage.db.clone(), prover(&dns), stage.clock.clone());
    steward.check().await.unwrap();
    assert_eq!(stage.letters().await, Vec::<String>::new());
    let other = seed::organization(&stage.database, Subscription::Trial).await;
    stage.member(other, "admin").await;
    let stage = Stage { organization: other, ..stage };
    stage.proven("www.example.com").await;
    steward.check().await.unwrap();
    assert_eq!(stage.letters().await, Vec::<String>::new(), "another name is another target");
    stage.proven("example.com").await;
    let again = Proofs::new(stage.db.clone(), prover(&dns), stage.clock.clone());
    let (one, two) = tokio::join!(steward.check(), again.check());
    assert!(one.is_ok() && two.is_ok());
    steward.check().await.unwrap();
    assert_eq!(stage.letters().await, ["target_shared admin", "target_shared owner"]);
}
