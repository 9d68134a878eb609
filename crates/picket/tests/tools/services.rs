//! Services of the tests on ports that the system chose. Each lives until the test program ends.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig, ServerConnection, Stream,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

fn serve(answer: impl Fn(TcpStream) + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let answer = answer.clone();
            thread::spawn(move || answer(stream));
        }
    });
    port
}

/// HTTPS over TLS 1.2 and 1.3 with a certificate that expired long ago and vouches for itself.
pub(crate) fn tls() -> u16 {
    let mut params = CertificateParams::new(vec!["tools.picket.test".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "tools.picket.test");
    params.not_before = date_time_ymd(2019, 3, 1);
    params.not_after = date_time_ymd(2020, 3, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    serve(move |mut stream| {
        let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut tls = Stream::new(&mut connection, &mut stream);
        // Scanners break off at every place of a handshake: whatever fails here is theirs.
        let mut request = [0; 1024];
        if tls.read(&mut request).is_ok_and(|count| count > 0) {
            let _ = tls.write_all(
                b"HTTP/1.1 200 OK\r\nServer: picket-test\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
            );
        }
    })
}

/// An SSH server that says which algorithms it has (RFC 4253, 7.1) and goes no further.
pub(crate) fn ssh() -> u16 {
    serve(|mut stream| {
        let lists = [
            "curve25519-sha256,diffie-hellman-group1-sha1",
            "ssh-rsa,ssh-ed25519",
            "aes128-ctr,3des-cbc",
            "aes128-ctr,3des-cbc",
            "hmac-sha2-256,hmac-md5",
            "hmac-sha2-256,hmac-md5",
            "none",
            "none",
            "",
            "",
        ];
        let mut payload = vec![20];
        payload.extend([7; 16]);
        for list in lists {
            payload.extend(u32::try_from(list.len()).unwrap().to_be_bytes());
            payload.extend(list.as_bytes());
        }
        payload.extend([0; 5]);
        // Length and padding fill whole blocks of eight, with at least four bytes of padding.
        let padding = 4 + (8 - (payload.len() + 9) % 8) % 8;
        let mut packet = u32::try_from(payload.len() + 1 + padding).unwrap().to_be_bytes().to_vec();
        packet.push(u8::try_from(padding).unwrap());
        packet.extend(payload);
        packet.extend(vec![0; padding]);
        let _ = stream.write_all(b"SSH-2.0-picket_test\r\n");
        let _ = stream.write_all(&packet);
        let mut heard = [0; 4096];
        while stream.read(&mut heard).is_ok_and(|count| count > 0) {}
    })
}

/// A service that hangs up on everybody.
pub(crate) fn hanging_up() -> u16 {
    serve(drop)
}
