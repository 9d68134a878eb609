//! Tries against a real Redis.

use std::time::{Duration, Instant};

use picket_live::{Live, LiveError, LiveSettings, TryEnd, TryLimits, TryPlace};
use picket_testkit::{Namespace, required};

const QUARTER: TryLimits = TryLimits { window: Duration::from_secs(900), per_account: 5, per_address: 20 };

fn live_at(url: String) -> Live {
    Live::new(&LiveSettings { url: url.into(), key_prefix: Namespace::new().prefix, timeout_ms: 2_000 }).unwrap()
}

fn live() -> Live {
    live_at(required("REDIS_URL"))
}

fn place(account: &str, address: &str) -> TryPlace {
    let neighborhood = address.rsplit_once('.').unwrap().0.to_owned();
    TryPlace { neighborhood, account: account.to_owned(), address: address.to_owned() }
}

#[tokio::test]
async fn five_of_an_account_pass_and_the_sixth_waits_for_the_first_to_be_forgotten() {
    let live = live();
    let place_ = place("ada", "192.0.2.1");
    for number in 0..5 {
        assert_eq!(live.begin_try(&place_, &number.to_string(), QUARTER).await.unwrap(), None);
    }
    let wait = live.begin_try(&place_, "6", QUARTER).await.unwrap().unwrap();
    assert!(wait > Duration::from_secs(880) && wait <= QUARTER.window, "{wait:?}");
    let neighbor = place("ada", "192.0.2.77");
    assert!(live.begin_try(&neighbor, "7", QUARTER).await.unwrap().is_some(), "the same network");
    assert_eq!(live.begin_try(&place("ada", "198.51.100.1"), "8", QUARTER).await.unwrap(), None, "another network");
    assert_eq!(live.begin_try(&place("bob", "192.0.2.1"), "9", QUARTER).await.unwrap(), None, "another account");
}

#[tokio::test]
async fn an_address_tries_twenty_accounts_and_no_more() {
    let live = live();
    for number in 0..20 {
        let account = place(&format!("account{number}"), "192.0.2.1");
        assert_eq!(live.begin_try(&account, &number.to_string(), QUARTER).await.unwrap(), None);
    }
    assert!(live.begin_try(&place("another", "192.0.2.1"), "20", QUARTER).await.unwrap().is_some());
    assert_eq!(live.begin_try(&place("another", "192.0.2.2"), "21", QUARTER).await.unwrap(), None);
}

#[tokio::test]
async fn a_success_forgets_the_account_and_only_itself_at_the_address() {
    let live = live();
    let ada = place("ada", "192.0.2.1");
    let limits = TryLimits { per_address: 6, ..QUARTER };
    for number in 0..5 {
        assert_eq!(live.begin_try(&ada, &number.to_string(), limits).await.unwrap(), None);
    }
    live.end_try(&ada, "4", TryEnd::Succeeded).await.unwrap();
    // Four failures of the address are left, so that two more pass.
    for number in 5..7 {
        assert_eq!(live.begin_try(&ada, &number.to_string(), limits).await.unwrap(), None);
    }
    assert!(live.begin_try(&ada, "7", limits).await.unwrap().is_some());
    live.end_try(&ada, "6", TryEnd::Unknown).await.unwrap();
    assert_eq!(live.begin_try(&ada, "8", limits).await.unwrap(), None);
}

#[tokio::test]
async fn fifty_at_once_are_counted_before_any_is_looked_at() {
    let live = live();
    let ada = place("ada", "192.0.2.1");
    let tries = (0..50).map(|number| {
        let (live, ada) = (live.clone(), ada.clone());
        tokio::spawn(async move { live.begin_try(&ada, &number.to_string(), QUARTER).await.unwrap().is_none() })
    });
    let mut passed = 0;
    for one in tries.collect::<Vec<_>>() {
        passed += u32::from(one.await.unwrap());
    }
    assert_eq!(passed, 5);
}

#[tokio::test]
async fn what_failed_is_forgotten_when_the_window_has_passed() {
    let live = live();
    let ada = place("ada", "192.0.2.1");
    let limits = TryLimits { window: Duration::from_millis(300), per_account: 1, per_address: 20 };
    let begun = Instant::now();
    assert_eq!(live.begin_try(&ada, "0", limits).await.unwrap(), None);
    while live.begin_try(&ada, "1", limits).await.unwrap().is_some() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is never forgotten");
        tokio::task::yield_now().await;
    }
    assert!(begun.elapsed() >= limits.window);
}

#[tokio::test]
async fn a_redis_that_is_away_allows_nothing() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let live = live_at(format!("redis://{nobody}/"));
    let answer = live.begin_try(&place("ada", "192.0.2.1"), "0", QUARTER).await;
    assert!(matches!(answer, Err(LiveError::Driver(_) | LiveError::Timeout)), "{answer:?}");
}
