//! Rate limits of two gateway processes on one Redis, which is killed in the middle.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use picket_domain::{OrganizationId, Subscription};
use picket_gateway::generate_signing_key;
use picket_kit::Sealer;
use picket_live::{Live, LiveSettings, Rate};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::{
    process::{Role, eventually},
    redis::Redis,
    stage::{LONG, Stage},
};

/// Requests that are left to the two gateways; somebody else has spent the rest of the burst.
const LEFT: u32 = 30;
/// What keys in Redis begin with.
const PREFIX: &str = "faults";
const PASSWORD: &str = "correct horse battery staple";

/// A platform of two gateways.
struct Pair {
    stage: Stage,
    gateways: [Gateway; 2],
    live: Live,
    redis: Redis,
}

struct Gateway {
    role: Role,
    base: String,
    client: reqwest::Client,
}

/// Somebody who has signed in.
struct Member {
    token: String,
    organization: String,
}

impl Gateway {
    async fn start(stage: &Stage, file: &Path, settings: &[(&'static str, &str)]) -> Self {
        let role = stage.start_with("gateway", Some(file), settings);
        let (line, _) = eventually("a gateway that listens", LONG, async || role.line("the gateway listens")).await;
        let base = format!("http://{}", line["address"].as_str().expect("an address"));
        Self { role, base, client: reqwest::Client::new() }
    }

    async fn get(&self, path: &str, member: &Member) -> u16 {
        let sent = self.client.get(format!("{}{path}", self.base)).bearer_auth(&member.token).send().await;
        sent.unwrap().status().as_u16()
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.client.post(format!("{}{path}", self.base)).json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.unwrap()
    }
}

impl Pair {
    async fn start() -> Option<Self> {
        let redis = Redis::start()?;
        let (stage, url) = (Stage::new().await, redis.url());
        let (sealing, signing) = (Sealer::generate_key(), generate_signing_key());
        let settings = [
            ("REDIS_URL", url.as_str()),
            ("PICKET_REDIS__KEY_PREFIX", PREFIX),
            ("PICKET_GATEWAY__SIGNING_KEY", signing.expose_secret()),
            ("PICKET_GATEWAY__LISTEN", "127.0.0.1:0"),
            // Each thread has a connection to Redis of its own, and finds out by itself that it broke.
            ("PICKET_GATEWAY__THREADS", "1"),
            ("PICKET_GATEWAY__PUBLIC_BURST", "1000"),
            ("PICKET_GATEWAY__PUBLIC_PER_MINUTE", "100000"),
        ];
        // What is of no section comes from a file alone.
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, format!("sealing_key = '{}'", sealing.expose_secret())).unwrap();
        let file = file.path();
        let gateways = [Gateway::start(&stage, file, &settings).await, Gateway::start(&stage, file, &settings).await];
        let live = LiveSettings { url: url.into(), key_prefix: PREFIX.to_owned(), timeout_ms: 2_000 };
        Some(Self { stage, gateways, live: Live::new(&live).unwrap(), redis })
    }

    /// Somebody with an organization of that plan.
    async fn member(&self, name: &str, plan: Subscription) -> Member {
        let email = format!("{name}@example.com");
        let [first, _] = &self.gateways;
        let person = json!({"email": email, "password": PASSWORD, "name": "Ada"});
        first.post("/api/v1/auth/register", &person).await;
        let signed = first.post("/api/v1/auth/login", &json!({"email": email, "password": PASSWORD})).await;
        let sql =
            "SELECT m.organization_id FROM memberships AS m JOIN users AS u ON u.id = m.user_id WHERE u.email = $1";
        let id: uuid::Uuid = self.stage.row(sql, &[&email]).await.get(0);
        let plan = format!("UPDATE organizations SET plan = '{}' WHERE id = '{id}'", plan.name());
        self.stage.execute(&plan).await;
        let organization = OrganizationId::from_uuid(id).to_string();
        Member { token: signed["access_token"].as_str().expect("a token").to_owned(), organization }
    }

    /// How many of `each` requests to both at once were let through.
    async fn flood(&self, path: &str, member: &Member, each: u32) -> [u32; 2] {
        let one = async |gateway: &Gateway| {
            let answers = join_all((0..each).map(|_| gateway.get(path, member))).await;
            assert!(answers.iter().all(|status| [200, 429].contains(status)), "{answers:?}");
            u32::try_from(answers.iter().filter(|status| **status == 200).count()).unwrap()
        };
        let [first, second] = &self.gateways;
        tokio::join!(one(first), one(second)).into()
    }

    /// Demands that both together let a fresh member's burst through, and what came back meanwhile.
    async fn count_together(&self, name: &str, plan: Subscription) {
        let member = self.member(name, plan).await;
        for (bucket, path, rate) in rates(plan) {
            let (begun, left) = (Instant::now(), rate.burst.min(LEFT));
            let spend = (left..rate.burst).map(|_| self.live.count(&member.organization, bucket, rate));
            assert!(join_all(spend).await.into_iter().all(|count| count.unwrap().is_allowed));
            let passed: u32 = self.flood(path, &member, left + 10).await.iter().sum();
            let most = left + refilled(begun, rate);
            assert!((left..=most).contains(&passed), "{plan:?} {bucket}: {passed} passed, expected {left} to {most}");
        }
    }
}

/// The bucket, the path and the rate of each version.
fn rates(plan: Subscription) -> [(&'static str, &'static str, Rate); 2] {
    let limits = plan.limits();
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
    [
        ("v1", "/api/v1/tools", Rate { limit: limits.v1_per_minute, period: minute, burst: limits.v1_burst }),
        ("v2", "/api/v2/tools", Rate { limit: limits.v2_per_hour, period: hour, burst: limits.v2_per_hour }),
    ]
}

/// Tokens that came back since `begun`.
fn refilled(begun: Instant, rate: Rate) -> u32 {
    u32::try_from(begun.elapsed().as_micros() / rate.interval().as_micros()).unwrap()
}

#[tokio::test]
async fn two_gateway_processes_count_together_alone_while_redis_is_killed_and_together_again() {
    let Some(mut pair) = Pair::start().await else { return };
    for plan in Subscription::ALL {
        pair.count_together(plan.name(), plan).await;
    }

    let ada = pair.member("ada", Subscription::Trial).await;
    let [(_, path, rate), _] = rates(Subscription::Trial);
    assert_eq!(pair.flood(path, &ada, 1).await, [1, 1]);
    pair.redis.kill();
    let begun = Instant::now();
    for passed in pair.flood(path, &ada, 20).await {
        let most = rate.burst + refilled(begun, rate);
        assert!((rate.burst..=most).contains(&passed), "{passed} passed one gateway alone");
    }

    pair.redis.restart();
    for gateway in &pair.gateways {
        eventually("counting in redis again", LONG, async || {
            gateway.get(path, &ada).await;
            gateway.role.line("counting requests in redis again")
        })
        .await;
    }
    // Where nobody was known, and nobody can sign in without Redis.
    pair.count_together("bob", Subscription::Trial).await;
}
