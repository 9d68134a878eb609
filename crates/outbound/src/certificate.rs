//! The names that a server's certificate is for. Whose certificate it is does not matter here, so nothing of it is believed:
//! a name is a question to ask of DNS, and no data is sent to whoever was reached.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use webpki::EndEntityCert;

/// The most names of one certificate.
const MOST_NAMES: usize = 200;
/// How often it is tried where it fails.
const TRIES: usize = 2;
/// How long connecting may take, and the handshake after it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The DNS names of the certificate that is shown to who asks for `name` at that address, which the caller has judged.
/// Wildcards among them keep their `*.`; at most 200. None where the connection is refused: then there is no certificate.
/// `None` where nobody can know, since the port is silent or whoever listens does not finish a handshake, in two tries.
pub async fn certified_names(socket: SocketAddr, name: &str) -> Option<Vec<String>> {
    for _ in 0..TRIES {
        match timeout(PATIENCE, TcpStream::connect(socket)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return Some(Vec::new()),
            Ok(Err(_)) | Err(_) => {}
            Ok(Ok(stream)) => {
                if let Ok(Some(certificate)) = timeout(PATIENCE, shown(stream, name)).await {
                    return names(&certificate);
                }
            }
        }
    }
    None
}

async fn shown(stream: TcpStream, name: &str) -> Option<CertificateDer<'static>> {
    let provider = aws_lc_rs::default_provider();
    let anybody = Anybody(provider.signature_verification_algorithms);
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(anybody))
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).ok()?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    let (_, connection) = stream.get_ref();
    connection.peer_certificates()?.first().map(|certificate| certificate.clone().into_owned())
}

fn names(certificate: &CertificateDer<'_>) -> Option<Vec<String>> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    Some(certificate.valid_dns_names().take(MOST_NAMES).map(str::to_ascii_lowercase).collect())
}

/// Lets every certificate pass, of a server that has its key.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivateKeyDer;
    use tokio::net::TcpListener;

    use super::*;

    /// A server with a certificate of its own for these names, whose authority nobody knows.
    async fn site(names: &[&str]) -> SocketAddr {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let signed = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ended = acceptor.accept(stream).await;
            }
        });
        socket
    }

    #[tokio::test]
    async fn the_names_of_a_certificate_are_read_whoever_has_signed_it() {
        let socket = site(&["Example.com", "mail.example.com", "*.dev.example.com"]).await;
        let names = certified_names(socket, "example.com").await;
        assert_eq!(names.unwrap(), ["example.com", "mail.example.com", "*.dev.example.com"]);
    }

    #[tokio::test]
    async fn who_listens_without_a_handshake_says_nothing_and_where_nobody_does_there_are_no_names() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = listener.local_addr().unwrap();
        let answer = tokio::spawn(async move {
            for _ in 0..TRIES {
                drop(listener.accept().await);
            }
        });
        assert_eq!(certified_names(socket, "example.com").await, None);
        answer.await.unwrap();
        let nobody = certified_names(socket, "example.com").await;
        assert_eq!(nobody, Some(Vec::new()), "nobody listens there any more");
    }
}
