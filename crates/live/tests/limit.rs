//! Rate limits against a real Redis.

use std::time::Duration;

use picket_live::{Live, LiveError, LiveSettings, Rate};
use picket_testkit::{Namespace, required};

fn settings(url: String) -> LiveSettings {
    LiveSettings { url: url.into(), key_prefix: Namespace::new().prefix, timeout_ms: 2_000 }
}

const TRIAL: Rate = Rate { limit: 10, period: Duration::from_secs(60), burst: 5 };

#[tokio::test]
async fn a_burst_passes_and_the_next_one_waits_a_sixth_of_a_minute() {
    let live = Live::new(&settings(required("REDIS_URL"))).unwrap();
    for left in (0..5).rev() {
        let count = live.count("org_a", "v1", TRIAL).await.unwrap();
        assert!(count.is_allowed);
        assert_eq!(count.remaining, left);
    }
    let refused = live.count("org_a", "v1", TRIAL).await.unwrap();
    assert!(!refused.is_allowed);
    assert_eq!(refused.remaining, 0);
    assert!(refused.retry_after > Duration::from_secs(4) && refused.retry_after <= Duration::from_secs(6));
    assert!(refused.reset_after > Duration::from_secs(24) && refused.reset_after <= Duration::from_secs(30));
}

#[tokio::test]
async fn what_is_given_back_may_be_taken_again_and_never_more() {
    let live = Live::new(&settings(required("REDIS_URL"))).unwrap();
    let slow = Rate { limit: 1, period: Duration::from_secs(3_600), burst: 2 };
    for _ in 0..2 {
        assert!(live.count("org_a", "v1", slow).await.unwrap().is_allowed);
    }
    assert_eq!(live.give_back("org_a", "v1", slow).await.unwrap().remaining, 1);
    assert!(live.count("org_a", "v1", slow).await.unwrap().is_allowed);
    assert!(!live.count("org_a", "v1", slow).await.unwrap().is_allowed);
    for _ in 0..5 {
        assert!(live.give_back("org_a", "v1", slow).await.unwrap().remaining <= 2);
    }
    assert_eq!(live.count("org_a", "v1", slow).await.unwrap().remaining, 1, "the burst is never exceeded");
}

#[tokio::test]
async fn buckets_do_not_know_of_each_other() {
    let live = Live::new(&settings(required("REDIS_URL"))).unwrap();
    let once = Rate { burst: 1, ..TRIAL };
    for (subject, name) in [("org_a", "v1"), ("org_a", "v2"), ("org_b", "v1")] {
        assert!(live.count(subject, name, once).await.unwrap().is_allowed);
    }
    assert!(!live.count("org_a", "v1", once).await.unwrap().is_allowed);
}

#[tokio::test]
async fn two_gateways_share_a_bucket() {
    let settings = settings(required("REDIS_URL"));
    let (one, two) = (Live::new(&settings).unwrap(), Live::new(&settings).unwrap());
    let mut allowed = 0;
    for _ in 0..5 {
        allowed += u32::from(one.count("org_a", "v1", TRIAL).await.unwrap().is_allowed);
        allowed += u32::from(two.count("org_a", "v1", TRIAL).await.unwrap().is_allowed);
    }
    assert_eq!(allowed, 5);
}

#[tokio::test]
async fn a_redis_that_is_away_is_noticed_at_once_and_then_left_alone() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let live = Live::new(&settings(format!("redis://{nobody}/"))).unwrap();
    assert!(matches!(live.count("org_a", "v1", TRIAL).await, Err(LiveError::Driver(_) | LiveError::Timeout)));
    assert!(matches!(live.count("org_a", "v1", TRIAL).await, Err(LiveError::Resting)));
}
