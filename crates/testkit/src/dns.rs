//! A DNS server on loopback whose answers a test changes as it goes. It knows A, AAAA, TXT and CNAME, each for no time at all,
//! and follows aliases as a server does that resolves for others; a name without a line does not exist.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::net::UdpSocket;

/// What one name has.
#[derive(Debug, Clone, Default)]
struct Zone {
    addresses: Vec<IpAddr>,
    texts: Vec<String>,
    alias: Option<String>,
    /// Whether whoever asks hears of a failure of the server.
    fails: bool,
}

/// The server; it ends with the test's runtime.
#[derive(Clone)]
pub struct Dns {
    /// Where it listens, over UDP alone.
    pub address: SocketAddr,
    zones: Arc<Mutex<BTreeMap<String, Zone>>>,
}

impl Dns {
    /// Starts a server that knows nothing.
    ///
    /// # Panics
    /// When there is no socket.
    pub async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let dns = Self { address: socket.local_addr().expect("an address"), zones: Arc::default() };
        let zones = dns.zones.clone();
        tokio::spawn(async move {
            let mut packet = [0_u8; 1_500];
            while let Ok((length, client)) = socket.recv_from(&mut packet).await {
                let answer = answer(&packet[..length], &zones.lock().expect("a table"));
                // Whoever asked may be gone.
                let _sent = socket.send_to(&answer, client).await;
            }
        });
        dns
    }

    /// Gives a name these addresses in place of those that it has.
    pub fn set_addresses(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        self.zones.lock().expect("a table").entry(name.to_owned()).or_default().addresses = addresses;
    }

    /// Gives a name these TXT records in place of those that it has.
    pub fn set_texts(&self, name: &str, texts: &[&str]) {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        self.zones.lock().expect("a table").entry(name.to_owned()).or_default().texts = texts;
    }

    /// Makes a name an alias of another one.
    pub fn set_alias(&self, name: &str, of: &str) {
        self.zones.lock().expect("a table").entry(name.to_owned()).or_default().alias = Some(of.to_owned());
    }

    /// Answers nothing of a name but that the server failed, or again what it has.
    pub fn set_failing(&self, name: &str, fails: bool) {
        self.zones.lock().expect("a table").entry(name.to_owned()).or_default().fails = fails;
    }
}

/// The answer to a packet (RFC 1035 §4.1).
fn answer(packet: &[u8], zones: &BTreeMap<String, Zone>) -> Vec<u8> {
    let (mut labels, mut at) = (Vec::new(), 12);
    while packet[at] != 0 {
        let end = at + 1 + usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    let (kind, question) = (packet[at + 2], &packet[12..at + 5]);
    let mut name = labels.join(".");
    let mut records: Vec<(u8, Vec<u8>, Vec<u8>)> = Vec::new();
    while let Some(of) = zones.get(&name).and_then(|zone| zone.alias.clone()) {
        records.push((5, encoded(&name), encoded(&of)));
        name = of;
    }
    let zone = zones.get(&name);
    let data: Vec<Vec<u8>> = match kind {
        1 => zone.into_iter().flat_map(|zone| &zone.addresses).filter_map(v4).collect(),
        28 => zone.into_iter().flat_map(|zone| &zone.addresses).filter_map(v6).collect(),
        16 => zone.into_iter().flat_map(|zone| &zone.texts).map(|text| strings(text)).collect(),
        _ => Vec::new(),
    };
    records.extend(data.into_iter().map(|data| (kind, encoded(&name), data)));
    // A response to one question: no error, SERVFAIL, or NXDOMAIN.
    let code = match zone {
        Some(zone) if zone.fails => 0x82,
        Some(_) => 0x80,
        None => 0x83,
    };
    if code == 0x82 {
        records.clear();
    }
    let mut answer = packet[..2].to_vec();
    let count = u8::try_from(records.len()).expect("few records");
    answer.extend([0x81, code, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(question);
    for (kind, owner, data) in records {
        answer.extend(owner);
        answer.extend([0, kind, 0, 1, 0, 0, 0, 0]);
        answer.extend(u16::try_from(data.len()).expect("a short record").to_be_bytes());
        answer.extend(data);
    }
    answer
}

/// A name as its labels, uncompressed.
fn encoded(name: &str) -> Vec<u8> {
    let label = |label: &str| [&[u8::try_from(label.len()).expect("a short label")], label.as_bytes()].concat();
    name.split('.').flat_map(label).chain([0]).collect()
}

fn v4(address: &IpAddr) -> Option<Vec<u8>> {
    if let IpAddr::V4(v4) = address { Some(v4.octets().to_vec()) } else { None }
}

fn v6(address: &IpAddr) -> Option<Vec<u8>> {
    if let IpAddr::V6(v6) = address { Some(v6.octets().to_vec()) } else { None }
}

/// A text as character strings of at most 255 bytes.
fn strings(text: &str) -> Vec<u8> {
    let string = |chunk: &[u8]| {
        let mut string = vec![u8::try_from(chunk.len()).expect("a short chunk")];
        string.extend(chunk);
        string
    };
    text.as_bytes().chunks(255).flat_map(string).collect()
}
