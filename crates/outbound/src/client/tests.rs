//! What the client makes of answers, without a network.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{ErrorClass, Image, ImageKind};

/// Short enough to wait for, long enough for a busy machine to answer in.
const PATIENCE_MS: u64 = 400;

fn settings() -> OutboundSettings {
    OutboundSettings {
        allowed_ranges: vec!["127.0.0.0/8".parse().unwrap()],
        allow_http: true,
        name_servers: vec!["127.0.0.1:9".parse().unwrap()],
        ..OutboundSettings::default()
    }
}

fn client() -> HttpClient {
    HttpClient::new(settings()).unwrap()
}

fn hurried() -> HttpClient {
    HttpClient::new(OutboundSettings { total_timeout_ms: PATIENCE_MS, ..settings() }).unwrap()
}

/// What a server does with a connection, after it has read the request's head.
#[derive(Clone)]
enum Behavior {
    Answer(Vec<u8>),
    Hang,
    /// One byte, and again, without an end.
    Drip,
    /// The head, then this over and over until nobody reads it.
    Flood(&'static [u8], Vec<u8>),
}

struct Server {
    url: Url,
    accepted: Arc<AtomicUsize>,
    sent_bytes: Arc<AtomicUsize>,
}

async fn serve(behavior: Behavior) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?x=1", listener.local_addr().unwrap()).parse().unwrap();
    let (accepted, sent_bytes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let server = Server { url, accepted: accepted.clone(), sent_bytes: sent_bytes.clone() };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            accepted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(treat(stream, behavior.clone(), sent_bytes.clone()));
        }
    });
    server
}

async fn treat(mut stream: TcpStream, behavior: Behavior, sent_bytes: Arc<AtomicUsize>) {
    read_head(&mut stream).await;
    match behavior {
        Behavior::Answer(bytes) => {
            let _ = stream.write_all(&bytes).await;
        }
        Behavior::Hang => std::future::pending().await,
        Behavior::Drip => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(b".").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Behavior::Flood(head, piece) => {
            let _ = stream.write_all(head).await;
            while stream.write_all(&piece).await.is_ok() {
                sent_bytes.fetch_add(piece.len(), Ordering::SeqCst);
            }
        }
    }
}

async fn read_head<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> String {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut byte = [0; 1];
        if stream.read_exact(&mut byte).await.is_err() {
            break;
        }
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

fn answer(head: &str, body: &[u8]) -> Behavior {
    let head = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len());
    Behavior::Answer([head.as_bytes(), body].concat())
}

async fn refused(client: &HttpClient, url: &Url) -> ErrorClass {
    client.post(url, Vec::new(), Bytes::new(), Limits::WEBHOOK).await.unwrap_err().class()
}

#[tokio::test]
async fn a_post_arrives_as_it_was_given() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}/hook?x=1#y", listener.local_addr().unwrap()).parse().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_head(&mut stream).await;
        let mut body = [0; 2];
        stream.read_exact(&mut body).await.unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\nretry-after: 7\r\n\r\n").await.unwrap();
        (head, body)
    });
    let headers = vec![("webhook-id", "evt_1".to_owned())];
    let response = client().post(&url, headers, Bytes::from_static(b"{}"), Limits::WEBHOOK).await.unwrap();
    assert_eq!((response.status, response.header("retry-after"), response.truncated), (204, Some("7"), false));
    let (head, body) = server.await.unwrap();
    assert!(head.starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {}", url.authority())) && head.contains("webhook-id: evt_1"), "{head}");
    assert!(head.contains("content-length: 2") && !head.contains("accept-encoding"), "{head}");
    assert_eq!(&body, b"{}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_nobody_goes_there() {
    let trap = serve(answer("200 OK", b"caught")).await;
    for target in ["http://169.254.169.254/latest/meta-data/", trap.url.as_str()] {
        let server = serve(answer(&format!("302 Found\r\nlocation: {target}"), b"")).await;
        let response = client().get(&server.url, Limits::WEBHOOK).await.unwrap();
        assert_eq!(response.status, 302);
    }
    assert_eq!(trap.accepted.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_refused_address_is_never_connected_to() {
    let server = serve(answer("200 OK", b"")).await;
    let strict = HttpClient::new(OutboundSettings { allowed_ranges: Vec::new(), ..settings() }).unwrap();
    assert_eq!(refused(&strict, &server.url).await, ErrorClass::RefusedAddress);
    // A name that is pinned there is refused as well.
    let pinned = OutboundSettings {
        allowed_ranges: vec!["127.0.0.1/32".parse().unwrap()],
        pins: [("mixed.example".to_owned(), vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 1])])].into(),
        ..settings()
    };
    let mut url = server.url.clone();
    url.set_host(Some("mixed.example")).unwrap();
    assert_eq!(refused(&HttpClient::new(pinned).unwrap(), &url).await, ErrorClass::RefusedAddress);
    assert_eq!(server.accepted.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_pinned_name_is_called_at_its_address_under_its_name() {
    let server = serve(answer("200 OK", b"hello")).await;
    let pins = [("hook.example".to_owned(), vec![IpAddr::from([127, 0, 0, 1])])].into();
    let client = HttpClient::new(OutboundSettings { pins, ..settings() }).unwrap();
    let mut url = server.url.clone();
    url.set_host(Some("hook.example")).unwrap();
    let response = client.get(&url, Limits::WEBHOOK).await.unwrap();
    assert_eq!((response.status, response.body.as_ref()), (200, b"hello".as_slice()));
}

#[tokio::test]
async fn a_server_that_hangs_or_drips_is_left_in_time() {
    for behavior in [Behavior::Hang, Behavior::Drip] {
        let server = serve(behavior).await;
        let begun = std::time::Instant::now();
        assert_eq!(refused(&hurried(), &server.url).await, ErrorClass::Timeout);
        assert!(begun.elapsed() < Duration::from_millis(PATIENCE_MS * 5));
    }
}

#[tokio::test]
async fn a_large_body_is_read_to_its_limit_and_not_further() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10485760\r\n\r\n";
    let server = serve(Behavior::Flood(head, vec![b'x'; 16_384])).await;
    let response = client().get(&server.url, Limits::WEBHOOK).await.unwrap();
    assert!(response.truncated);
    assert_eq!(response.body.len(), Limits::WEBHOOK.keep_bytes);
    // What else was sent lies in the kernel's buffers.
    assert!(server.sent_bytes.load(Ordering::SeqCst) < 10 * 1_024 * 1_024);
}

#[tokio::test]
async fn endless_headers_are_too_large() {
    let server = serve(Behavior::Flood(b"HTTP/1.1 200 OK\r\n", b"x-more: of the same\r\n".to_vec())).await;
    assert_eq!(refused(&client(), &server.url).await, ErrorClass::TooLarge);
    let server = serve(Behavior::Flood(b"HTTP/1.1 200 OK\r\nx-long: ", vec![b'x'; 4_096])).await;
    assert_eq!(refused(&client(), &server.url).await, ErrorClass::TooLarge);
}

#[tokio::test]
async fn a_compressed_answer_stays_compressed() {
    // A gzip header: a client that decompressed would fail here or swell.
    let body = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff\xff";
    let server = serve(answer("200 OK\r\ncontent-encoding: gzip", body)).await;
    let response = client().get(&server.url, Limits::WEBHOOK).await.unwrap();
    assert_eq!(response.body.as_ref(), body);
}

#[tokio::test]
async fn what_is_not_http_is_no_answer() {
    for bytes in [&b"SSH-2.0-OpenSSH_9.2\r\n"[..], b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"] {
        let server = serve(Behavior::Answer(bytes.to_vec())).await;
        assert_eq!(refused(&client(), &server.url).await, ErrorClass::Protocol);
    }
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_name_are_told_apart_without_an_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let error = client().get(&closed, Limits::WEBHOOK).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Connect);
    assert!(!error.to_string().contains("127") && !error.class().text().contains("127"));
    let hurried = HttpClient::new(OutboundSettings { dns_timeout_ms: 50, ..settings() }).unwrap();
    assert_eq!(refused(&hurried, &"https://nowhere.example/".parse().unwrap()).await, ErrorClass::Dns);
}

#[tokio::test]
async fn a_picture_is_known_by_its_first_bytes() {
    let png = b"\x89PNG\r\n\x1a\n and so on";
    let server = serve(answer("200 OK\r\ncontent-type: text/html", png)).await;
    let expected = Image { kind: ImageKind::Png, bytes: Bytes::from_static(png) };
    assert_eq!(client().fetch_image(&server.url).await.unwrap(), expected);
    let cases = [
        (answer("200 OK\r\ncontent-type: image/png", b"<svg onload=alert(1)>"), ErrorClass::Unexpected),
        (answer("404 Not Found", png), ErrorClass::Unexpected),
        (Behavior::Flood(b"HTTP/1.1 200 OK\r\n\r\n", vec![0xff; 65_536]), ErrorClass::TooLarge),
    ];
    for (behavior, class) in cases {
        let server = serve(behavior).await;
        assert_eq!(client().fetch_image(&server.url).await.unwrap_err().class(), class);
    }
}

/// A server of one connection with a certificate for `hook.example`, and that certificate as PEM.
async fn serve_tls() -> (Url, String) {
    let made = rcgen::generate_simple_self_signed(vec!["hook.example".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://hook.example:{}/", listener.local_addr().unwrap().port()).parse().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = acceptor.accept(stream).await {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (url, made.cert.pem())
}

#[tokio::test]
async fn a_certificate_counts_only_when_its_authority_is_trusted_and_its_name_fits() {
    let folder = tempfile::tempdir().unwrap();
    let authorities = folder.path().join("authorities.pem");
    let settings = || OutboundSettings {
        pins: ["hook.example", "other.example"].map(|name| (name.to_owned(), vec![[127, 0, 0, 1].into()])).into(),
        ..settings()
    };
    let (url, _) = serve_tls().await;
    assert_eq!(refused(&HttpClient::new(settings()).unwrap(), &url).await, ErrorClass::Tls);

    for (host, expected) in [("hook.example", None), ("other.example", Some(ErrorClass::Tls))] {
        let (mut url, pem) = serve_tls().await;
        std::fs::write(&authorities, pem).unwrap();
        url.set_host(Some(host)).unwrap();
        let trusting = OutboundSettings { extra_authorities: Some(authorities.clone()), ..settings() };
        let answer = HttpClient::new(trusting).unwrap().get(&url, Limits::WEBHOOK).await;
        assert_eq!(answer.err().map(|error| error.class()), expected, "{host}");
    }
}
