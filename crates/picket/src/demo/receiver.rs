//! A receiver of webhooks on loopback, inside the demo. It keeps what comes and judges nothing: whether a delivery is
//! genuine is decided where the secret is known. Bounded in connections, deliveries, bytes and time.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use picket_kit::{Clock, Shutdown};
use rand::RngCore;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

use super::failure::Failure;

const MOST_CONNECTIONS: usize = 64;
const MOST_DELIVERIES: usize = 500;
/// The largest body; the sender's own limit is 64 KiB.
const LARGEST_BODY_BYTES: usize = 64 * 1024;
const LARGEST_HEAD_BYTES: usize = 16 * 1024;
const HEAD_WAIT: Duration = Duration::from_secs(10);
const LONGEST_CONNECTION: Duration = Duration::from_secs(120);

/// A delivery as it came. All of it is the sender's, and may be anybody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delivery {
    /// `webhook-id`.
    pub(super) id: String,
    /// `webhook-timestamp`.
    pub(super) timestamp: String,
    /// `webhook-signature`.
    pub(super) signature: String,
    /// The bytes that were signed.
    pub(super) body: Vec<u8>,
    /// When it came, by our clock.
    pub(super) received_at: Timestamp,
}

/// A running receiver.
#[derive(Debug)]
pub(super) struct Receiver {
    url: String,
    kept: Arc<Kept>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Kept {
    path: String,
    deliveries: Mutex<Vec<Delivery>>,
    count: watch::Sender<usize>,
}

impl Receiver {
    /// Listens on a free port until `shutdown`.
    ///
    /// # Errors
    /// `Receiver` when no port is free.
    pub(super) async fn start(address: IpAddr, clock: Clock, shutdown: &Shutdown) -> Result<Self, Failure> {
        let listener = TcpListener::bind(SocketAddr::new(address, 0)).await.map_err(Failure::Receiver)?;
        let address = listener.local_addr().map_err(Failure::Receiver)?;
        let path = format!("/hooks/{:016x}", rand::rng().next_u64());
        let url = format!("http://{address}{path}");
        let kept = Arc::new(Kept { path, deliveries: Mutex::new(Vec::new()), count: watch::Sender::new(0) });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&kept), clock, shutdown.clone()));
        Ok(Self { url, kept, _tasks: tasks })
    }

    /// Where deliveries are to be sent.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What came, from the delivery `from` on, in the order of arrival.
    pub(super) fn deliveries(&self, from: usize) -> Vec<Delivery> {
        let deliveries = self.kept.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        deliveries.get(from..).map(<[Delivery]>::to_vec).unwrap_or_default()
    }

    /// Waits until more than `seen` deliveries have come.
    pub(super) async fn more_than(&self, seen: usize) {
        // The sender lives as long as this receiver, so waiting cannot fail.
        let mut count = self.kept.count.subscribe();
        let _never = count.wait_for(|count| *count > seen).await.map(drop);
    }
}

async fn serve(listener: TcpListener, kept: Arc<Kept>, clock: Clock, shutdown: Shutdown) {
    let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    while let Some(accepted) = shutdown.or(listener.accept()).await {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { continue };
        let (kept, clock) = (Arc::clone(&kept), clock.clone());
        connections.spawn(async move {
            let _ended = timeout(LONGEST_CONNECTION, converse(stream, &kept, &clock)).await;
            drop(permit);
        });
    }
}

async fn converse(stream: TcpStream, kept: &Kept, clock: &Clock) {
    let service = service_fn(|request| async {
        let mut response = Response::new(Empty::<Bytes>::new());
        *response.status_mut() = kept.take(request, clock).await;
        Ok::<_, Infallible>(response)
    });
    // A sender that breaks off will try again.
    let _ended = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(LARGEST_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Kept {
    async fn take(&self, request: Request<Incoming>, clock: &Clock) -> StatusCode {
        if request.uri().path() != self.path {
            return StatusCode::NOT_FOUND;
        }
        if request.method() != Method::POST {
            return StatusCode::METHOD_NOT_ALLOWED;
        }
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (Some(id), Some(timestamp), Some(signature)) =
            (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"))
        else {
            return StatusCode::BAD_REQUEST;
        };
        let Ok(body) = Limited::new(request.into_body(), LARGEST_BODY_BYTES).collect().await else {
            return StatusCode::PAYLOAD_TOO_LARGE;
        };
        let body = body.to_bytes().to_vec();
        self.keep(Delivery { id, timestamp, signature, body, received_at: clock.now() })
    }

    fn keep(&self, delivery: Delivery) -> StatusCode {
        let mut deliveries = self.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        if deliveries.len() >= MOST_DELIVERIES {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        deliveries.push(delivery);
        self.count.send_replace(deliveries.len());
        StatusCode::NO_CONTENT
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    async fn post(url: &str, body: Vec<u8>) -> u16 {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client
            .post(url)
            .header("webhook-id", "evt_1")
            .header("webhook-timestamp", "1")
            .header("webhook-signature", "v1,x")
            .body(body);
        request.send().await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn what_comes_is_kept_as_it_came() {
        let now: Timestamp = "2026-01-15T14:45:00Z".parse().unwrap();
        let receiver = Receiver::start(LOOPBACK, Clock::fixed(now), &Shutdown::new()).await.unwrap();
        assert_eq!(post(receiver.url(), b"{}".to_vec()).await, 204);
        receiver.more_than(0).await;
        let expected = Delivery {
            id: "evt_1".to_owned(),
            timestamp: "1".to_owned(),
            signature: "v1,x".to_owned(),
            body: b"{}".to_vec(),
            received_at: now,
        };
        assert_eq!(receiver.deliveries(0), [expected]);
        assert!(receiver.deliveries(1).is_empty());
    }

    #[tokio::test]
    async fn what_is_no_delivery_is_refused() {
        let receiver = Receiver::start(LOOPBACK, Clock::system(), &Shutdown::new()).await.unwrap();
        assert_eq!(post(receiver.url(), vec![b'x'; LARGEST_BODY_BYTES + 1]).await, 413);
        assert_eq!(post(&receiver.url().replace("/hooks/", "/other/"), Vec::new()).await, 404);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        assert_eq!(client.post(receiver.url()).send().await.unwrap().status().as_u16(), 400);
        assert_eq!(client.get(receiver.url()).send().await.unwrap().status().as_u16(), 405);
        assert!(receiver.deliveries(0).is_empty());
    }

    #[tokio::test]
    async fn too_many_deliveries_are_refused() {
        let kept = Kept { path: String::new(), deliveries: Mutex::new(Vec::new()), count: watch::Sender::new(0) };
        let delivery = Delivery {
            id: String::new(),
            timestamp: String::new(),
            signature: String::new(),
            body: Vec::new(),
            received_at: Timestamp::UNIX_EPOCH,
        };
        assert!((0..MOST_DELIVERIES).all(|_| kept.keep(delivery.clone()) == StatusCode::NO_CONTENT));
        assert_eq!(kept.keep(delivery), StatusCode::SERVICE_UNAVAILABLE);
    }
}
