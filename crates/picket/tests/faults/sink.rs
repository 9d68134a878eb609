//! The receiver of webhooks: answers as it is told, and writes down what it heard and what it said.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU16, Ordering},
};

use picket_domain::EventId;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_postgres::Client;
use uuid::Uuid;

/// One call.
#[derive(Debug, Clone)]
struct Heard {
    webhook: Uuid,
    event: Uuid,
    body: String,
    status: u16,
}

/// A server on loopback; the path of its URLs is the webhook's id.
pub(crate) struct Sink {
    port: u16,
    status: Arc<AtomicU16>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Sink {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (status, heard) = (Arc::new(AtomicU16::new(200)), Arc::new(Mutex::new(Vec::new())));
        let sink = Self { port, status: status.clone(), heard: heard.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, status.clone(), heard.clone()));
            }
        });
        sink
    }

    pub(crate) fn url(&self, webhook: Uuid) -> String {
        format!("http://127.0.0.1:{}/{webhook}", self.port)
    }

    /// What it answers from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// Brings what was heard to the checker.
    pub(crate) async fn tell(&self, client: &Client) {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap());
        for one in heard {
            let sql = "INSERT INTO faults.heard VALUES ($1, $2, $3, $4)";
            let status = i32::from(one.status);
            client.execute(sql, &[&one.webhook, &one.event, &one.body, &status]).await.unwrap();
        }
    }
}

async fn answer(mut stream: TcpStream, status: Arc<AtomicU16>, heard: Arc<Mutex<Vec<Heard>>>) {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    let whole = loop {
        let Ok(length @ 1..) = stream.read(&mut buffer).await else { return };
        bytes.extend_from_slice(&buffer[..length]);
        if let Some(whole) = request(&bytes) {
            break whole;
        }
    };
    let status = status.load(Ordering::Relaxed);
    heard.lock().unwrap().push(Heard { status, ..whole });
    let text = format!("HTTP/1.1 {status} Told\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    // Who is gone does not want to know.
    let _sent = stream.write_all(text.as_bytes()).await;
}

/// The request, once it is there as a whole.
fn request(bytes: &[u8]) -> Option<Heard> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let header = |wanted: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim().to_owned())
    };
    let length: usize = header("content-length")?.parse().ok()?;
    let webhook = head.split(' ').nth(1)?.trim_start_matches('/').parse().unwrap_or_default();
    let event = header("webhook-id")?.parse::<EventId>().map(EventId::uuid).unwrap_or_default();
    (body.len() >= length).then(|| Heard { webhook, event, body: body.to_owned(), status: 0 })
}
