//! Resolving from pins and from answers that are slow, empty or too many.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::net::UdpSocket;

use super::*;

/// Answers each question with the next list, the last one for ever.
struct Scripted {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Scripted {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answers =
            answers.iter().rev().map(|answer| answer.iter().map(|text| text.parse().unwrap()).collect()).collect();
        Arc::new(Self { answers: Mutex::new(answers), asked: AtomicUsize::new(0) })
    }
}

impl Lookup for Scripted {
    fn lookup<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, LookupFailed>> {
        async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let mut answers = self.answers.lock().unwrap();
            let next = if answers.len() > 1 { answers.pop() } else { answers.last().cloned() };
            next.ok_or(LookupFailed::NoAddress)
        }
        .boxed()
    }
}

struct Silent;

impl Lookup for Silent {
    fn lookup<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, LookupFailed>> {
        std::future::pending().boxed()
    }
}

fn settings() -> OutboundSettings {
    OutboundSettings {
        pins: [("Pinned.Example.".to_owned(), vec!["127.0.0.9".parse().unwrap()])].into(),
        ..OutboundSettings::default()
    }
}

#[tokio::test]
async fn a_pin_wins_and_dns_is_not_asked() {
    let dns = Scripted::new(&[&["8.8.8.8"]]);
    let resolver = Resolver::with_lookup(&settings(), dns.clone());
    let expected: IpAddr = "127.0.0.9".parse().unwrap();
    assert_eq!(resolver.resolve("pinned.EXAMPLE").await.unwrap(), [expected]);
    assert_eq!(resolver.resolve("pinned.example.").await.unwrap(), [expected]);
    assert_eq!(dns.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn seventeen_addresses_are_too_many_and_none_is_too_few() {
    let many: Vec<String> = (1..=17).map(|n| format!("8.8.4.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let resolver = Resolver::with_lookup(&settings(), Scripted::new(&[&many[..16], &many, &[]]));
    assert_eq!(resolver.resolve("a.example").await.unwrap().len(), 16);
    assert!(matches!(resolver.resolve("a.example").await, Err(LookupFailed::TooMany)));
    assert!(matches!(resolver.resolve("a.example").await, Err(LookupFailed::NoAddress)));
}

#[tokio::test]
async fn dns_that_does_not_answer_is_given_up() {
    let settings = OutboundSettings { dns_timeout_ms: 20, ..settings() };
    let resolver = Resolver::with_lookup(&settings, Arc::new(Silent));
    assert!(matches!(resolver.resolve("a.example").await, Err(LookupFailed::Timeout)));
}

/// A DNS server that says 8.8.8.8 the first time a name is asked for and 127.0.0.1 ever after, each for no time at all.
async fn rebinding_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut questions_for_a = 0;
        let mut packet = [0_u8; 512];
        while let Ok((length, client)) = socket.recv_from(&mut packet).await {
            let question_end = 12 + packet[12..length].iter().position(|byte| *byte == 0).unwrap() + 5;
            let is_a = packet[question_end - 4..question_end - 2] == [0, 1];
            // Header: same id, a response, no error, one question, and an answer for A alone.
            let mut answer = packet[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
            answer.extend(&packet[12..question_end]);
            if is_a {
                let last = if questions_for_a == 0 { [8, 8, 8, 8] } else { [127, 0, 0, 1] };
                questions_for_a += 1;
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
                answer.extend(last);
            }
            socket.send_to(&answer, client).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn a_name_that_turns_inwards_is_judged_anew_at_every_call() {
    let settings = OutboundSettings { name_servers: vec![rebinding_server().await], ..OutboundSettings::default() };
    let client = crate::HttpClient::new(settings).unwrap();
    let url = "https://rebind.example/".parse().unwrap();
    client.vet(&url).await.unwrap();
    let error = client.get(&url, crate::Limits::WEBHOOK).await.unwrap_err();
    assert_eq!(error.class(), crate::ErrorClass::RefusedAddress);
}

#[tokio::test]
async fn the_machines_own_names_are_not_public() {
    let settings = OutboundSettings { name_servers: vec![rebinding_server().await], ..OutboundSettings::default() };
    let client = crate::HttpClient::new(settings).unwrap();
    let error = client.vet(&"https://localhost/".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error.class(), crate::ErrorClass::RefusedAddress | crate::ErrorClass::Dns));
}
