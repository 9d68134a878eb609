//! Rate limits over two gateways that share one Redis, and when it goes away in the middle.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use picket_domain::{OrganizationId, Subscription};
use picket_kit::Clock;
use picket_live::{Live, LiveSettings, Rate};
use picket_testkit::{Namespace, required};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    harness::{Member, TestApp, metrics},
    observability::Log,
};

/// How many of `each` requests to both gateways at once were let through, and in which time.
async fn flood(gateways: [&TestApp; 2], path: &str, token: Option<&str>, each: u32) -> [u32; 2] {
    let one = async |app: &TestApp| {
        let answers = join_all((0..each).map(|_| app.get(path, token))).await;
        assert!(answers.iter().all(|answer| [200, 401, 429].contains(&answer.status)));
        let passed = answers.iter().filter(|answer| answer.status != 429).count();
        u32::try_from(passed).unwrap()
    };
    let (first, second) = tokio::join!(one(gateways[0]), one(gateways[1]));
    [first, second]
}

/// Tokens that came back since `begun`.
fn refilled(begun: Instant, rate: Rate) -> u32 {
    u32::try_from(begun.elapsed().as_micros() / rate.interval().as_micros()).unwrap()
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

async fn set_plan(app: &TestApp, member: &Member, plan: Subscription) {
    let organization: OrganizationId = member.organization_id.parse().unwrap();
    let client = app.database.connect().await;
    let sql = "UPDATE organizations SET plan = $2 WHERE id = $1";
    assert_eq!(client.execute(sql, &[&organization.uuid(), &plan.name()]).await.unwrap(), 1);
}

/// Requests that are left to the two gateways; a third one has spent the rest of the burst.
const LEFT: u32 = 30;

#[tokio::test]
async fn two_gateways_let_through_what_each_plan_allows_and_no_more() {
    let app = TestApp::spawn_with(|settings| settings.rate_limits = true).await;
    let other = app.replica(|_| {});
    for plan in Subscription::ALL {
        let member = app.member(&format!("{}@example.com", plan.name())).await;
        set_plan(&app, &member, plan).await;
        for (bucket, path, rate) in rates(plan) {
            let (begun, left) = (Instant::now(), rate.burst.min(LEFT));
            let live = app.live();
            let spend = (left..rate.burst).map(|_| live.count(&member.organization_id, bucket, rate));
            assert!(join_all(spend).await.into_iter().all(|count| count.unwrap().is_allowed));
            let passed: u32 = flood([&app, &other], path, Some(&member.token), left + 10).await.iter().sum();
            let most = left + refilled(begun, rate);
            assert!((left..=most).contains(&passed), "{plan:?} {bucket}: {passed} passed, expected {left} to {most}");
        }
    }
}

#[tokio::test]
async fn two_gateways_count_an_address_together() {
    let app = TestApp::spawn_with(|settings| {
        settings.rate_limits = true;
        settings.public_burst = 12;
        settings.public_per_minute = 1;
    })
    .await;
    let other = app.replica(|_| {});
    let begun = Instant::now();
    let passed: u32 = flood([&app, &other], "/api/v1/tools", None, 20).await.iter().sum();
    let rate = Rate { limit: 1, period: Duration::from_secs(60), burst: 12 };
    assert!((12..=12 + refilled(begun, rate)).contains(&passed), "{passed}");
}

/// A wire to Redis that can be cut.
pub(crate) struct Wire {
    url: String,
    pub(crate) is_whole: watch::Sender<bool>,
}

impl Wire {
    pub(crate) async fn new() -> Self {
        let mut url: reqwest::Url = required("REDIS_URL").parse().unwrap();
        let redis = (url.host_str().unwrap().to_owned(), url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let (is_whole, whole) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, redis.clone(), whole.clone()));
            }
        });
        Self { url: url.into(), is_whole }
    }

    /// A connection of its own through the wire.
    pub(crate) fn live(&self, prefix: &str) -> Live {
        let url = self.url.clone().into();
        Live::new(&LiveSettings { url, key_prefix: prefix.to_owned(), timeout_ms: 2_000 }).unwrap()
    }
}

async fn carry(mut near: TcpStream, redis: (String, u16), mut whole: watch::Receiver<bool>) {
    if !*whole.borrow() {
        return;
    }
    let mut far = TcpStream::connect(redis).await.unwrap();
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _ = whole.wait_for(|whole| !whole) => {}
    }
}

fn fallbacks() -> u64 {
    let text = metrics();
    let line = text.lines().find_map(|line| line.strip_prefix("picket_rate_limit_fallbacks_total "));
    line.map_or(0, |number| number.parse().unwrap())
}

async fn until_back(live: &Live) {
    let begun = Instant::now();
    while live.ping().await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "redis did not come back");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn when_redis_is_cut_off_each_gateway_counts_for_itself_and_together_again_after() {
    let (log, before) = (Log::get(), fallbacks());
    let (wire, prefix) = (Wire::new().await, Namespace::new().prefix);
    let (near, far) = (wire.live(&prefix), wire.live(&prefix));
    let app = TestApp::start(Clock::system(), near.clone(), |settings| settings.rate_limits = true).await;
    let other = app.replica_at(far.clone());
    let (ada, bob) = (app.member("ada@example.com").await, app.member("bob@example.com").await);
    let [(_, path, rate), _] = rates(Subscription::Trial);
    for (gateway, remaining) in [(&app, "4"), (&other, "3")] {
        assert_eq!(gateway.get(path, Some(&ada.token)).await.header("x-ratelimit-remaining"), Some(remaining));
    }

    wire.is_whole.send_replace(false);
    let begun = Instant::now();
    for passed in flood([&app, &other], path, Some(&ada.token), 20).await {
        let most = rate.burst + refilled(begun, rate);
        assert!((rate.burst..=most).contains(&passed), "{passed} passed one gateway alone");
    }
    assert!(fallbacks() >= before + 40, "{} after {before}", fallbacks());
    let text = log.text();
    let warnings = text
        .lines()
        .filter(|line| line.contains("counting requests without redis") && line.contains(&ada.organization_id));
    assert_eq!(warnings.count(), 2, "one line a gateway");

    wire.is_whole.send_replace(true);
    until_back(&near).await;
    until_back(&far).await;
    let begun = Instant::now();
    let passed: u32 = flood([&app, &other], path, Some(&bob.token), 10).await.iter().sum();
    assert!((rate.burst..=rate.burst + refilled(begun, rate)).contains(&passed), "{passed} passed both");
}
