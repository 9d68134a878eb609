//! Who may pass, and how often (`docs/contract.md` §8): callers are counted per organization and dialect, everybody
//! else per address. A key that is not known to be good is counted by address before the database is asked: making keys up
//! costs a stranger's limit and not our transactions.
//! Without Redis each gateway counts for itself, which is looser between gateways and never open.

mod local;

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use actix_web::{
    HttpMessage,
    dev::ServiceRequest,
    http::header::{HeaderMap, HeaderName, HeaderValue},
};
use picket_domain::{Dialect, Subscription};
use picket_live::{Count, Live, Rate};

use crate::{
    App, Caller, Problem, RequestContext,
    identify::{Claim, claim, look_up, vet},
    route_table::Route,
};

pub(crate) use local::LocalLimits;

const MINUTE: Duration = Duration::from_secs(60);
/// The bucket of an address.
const PUBLIC: &str = "public";
const HOUR: Duration = Duration::from_secs(3_600);

/// Both ways to count.
pub(crate) struct Limits {
    live: Option<Live>,
    local: LocalLimits,
    /// Whether the last count was made without Redis although there is one.
    is_degraded: AtomicBool,
}

/// What the client is told of its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    limit: u32,
    remaining: u32,
    /// Unix seconds.
    reset: i64,
}

impl Limits {
    /// Counts in Redis while it answers.
    pub(crate) fn new(live: Option<Live>) -> Self {
        Self { live, local: LocalLimits::default(), is_degraded: AtomicBool::new(false) }
    }

    /// Whether Redis answers; `None` when there is none.
    pub(crate) async fn is_up(&self) -> Option<bool> {
        match &self.live {
            Some(live) => Some(live.ping().await.is_ok()),
            None => None,
        }
    }

    async fn count(&self, subject: &str, bucket: &'static str, rate: Rate) -> Count {
        let Some(live) = &self.live else { return self.local.count(subject, bucket, rate) };
        match live.count(subject, bucket, rate).await {
            Ok(count) => {
                if self.is_degraded.swap(false, Ordering::Relaxed) {
                    tracing::info!("counting requests in redis again");
                }
                count
            }
            Err(error) => {
                metrics::counter!("picket_rate_limit_fallbacks_total").increment(1);
                // One line for each time that Redis goes away, not for each request without it.
                if !self.is_degraded.swap(true, Ordering::Relaxed) {
                    tracing::warn!(error = picket_domain::cause(&error), "counting requests without redis");
                }
                self.local.count(subject, bucket, rate)
            }
        }
    }

    /// Takes a count back. Without Redis it stands: the local limiter cannot give back, and is no exact one anyway.
    async fn give_back(&self, subject: &str, bucket: &'static str, rate: Rate) {
        if let Some(live) = &self.live
            && let Err(error) = live.give_back(subject, bucket, rate).await
        {
            tracing::debug!(error = picket_domain::cause(&error), "a count stands");
        }
    }
}

/// Identifies and counts a request; leaves the caller and the count in its extensions.
pub(crate) async fn admit(
    app: &App,
    context: &RequestContext,
    route: &Route,
    request: &ServiceRequest,
) -> Result<(), Problem> {
    if route.is_public {
        return if route.is_counted { count_address(app, context, request).await } else { Ok(()) };
    }
    let caller = identify(app, context, request).await?;
    if let Err(refused) = vet(&caller, context.address, request.headers()) {
        if !request.extensions().contains::<Counted>() {
            count_address(app, context, request).await?;
        }
        return Err(refused);
    }
    let rate = rate(caller.subscription, context.dialect);
    tracing::Span::current().record("tenant.id", tracing::field::display(caller.organization_id));
    let subject = caller.organization_id.to_string();
    request.extensions_mut().insert(caller);
    count(app, request, &subject, context.dialect.name(), rate).await
}

/// Who sent the request. Whoever shows nothing good is counted by address, once.
async fn identify(app: &App, context: &RequestContext, request: &ServiceRequest) -> Result<Caller, Problem> {
    let unproven = match claim(app, request.headers()) {
        Claim::Known(caller) => return Ok(caller),
        Claim::Refused(problem) => {
            count_address(app, context, request).await?;
            return Err(problem);
        }
        Claim::Unproven(unproven) => unproven,
    };
    if unproven.is_strange {
        count_address(app, context, request).await?;
        let found = look_up(app, context, &unproven).await;
        if found.is_ok() && app.settings.rate_limits {
            // It is counted as its organization's, and no request costs twice.
            app.limits.give_back(&neighborhood(context.address), PUBLIC, public_rate(app)).await;
        }
        return found;
    }
    let found = look_up(app, context, &unproven).await;
    if matches!(found, Err(Problem::Unauthenticated | Problem::NotAMember)) {
        count_address(app, context, request).await?;
    }
    found
}

/// The limits of a subscription (`docs/contract.md`, rate limits).
const fn rate(subscription: Subscription, dialect: Dialect) -> Rate {
    let limits = subscription.limits();
    match dialect {
        Dialect::V1 => Rate { limit: limits.v1_per_minute, period: MINUTE, burst: limits.v1_burst },
        Dialect::V2 => Rate { limit: limits.v2_per_hour, period: HOUR, burst: limits.v2_per_hour },
    }
}

async fn count_address(app: &App, context: &RequestContext, request: &ServiceRequest) -> Result<(), Problem> {
    count(app, request, &neighborhood(context.address), PUBLIC, public_rate(app)).await
}

/// The limit of one address without good credentials.
fn public_rate(app: &App) -> Rate {
    Rate { limit: app.settings.public_per_minute, period: MINUTE, burst: app.settings.public_burst }
}

async fn count(
    app: &App,
    request: &ServiceRequest,
    subject: &str,
    bucket: &'static str,
    rate: Rate,
) -> Result<(), Problem> {
    if !app.settings.rate_limits {
        return Ok(());
    }
    let count = app.limits.count(subject, bucket, rate).await;
    let reset =
        app.clock.now().as_second().saturating_add(i64::try_from(seconds(count.reset_after)).unwrap_or(i64::MAX));
    request.extensions_mut().insert(Counted { limit: rate.limit, remaining: count.remaining, reset });
    if count.is_allowed { Ok(()) } else { Err(Problem::RateLimited { retry_after: seconds(count.retry_after).max(1) }) }
}

/// Whole seconds, never fewer than needed.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// What counts as one client: an IPv4 address, or the /64 that one IPv6 subscriber has.
pub(crate) fn neighborhood(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("{:x}", u128::from(v6) >> 64),
    }
}

impl Counted {
    /// Adds the three headers.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        let values = [
            ("x-ratelimit-limit", self.limit.to_string()),
            ("x-ratelimit-remaining", self.remaining.to_string()),
            ("x-ratelimit-reset", self.reset.to_string()),
        ];
        for (name, value) in values {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(seconds(Duration::from_millis(5_001)), 6);
        assert_eq!(seconds(Duration::from_secs(5)), 5);
    }

    #[test]
    fn one_ipv6_subscriber_is_one_client() {
        let of = |text: &str| neighborhood(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
