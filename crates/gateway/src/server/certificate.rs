//! The certificate that is served: read from PEM files, and read again when they change, so that a renewal needs no restart.
//! Files that cannot be used leave the served certificate as it is.

use std::{
    fmt,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use picket_kit::Shutdown;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS13,
};
use sha2::{Digest, Sha256};

use crate::{GatewayError, TlsSettings};

/// What is served at the moment.
pub(super) struct Certificate {
    settings: TlsSettings,
    served: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads the files.
    pub(super) fn open(settings: &TlsSettings) -> Result<Arc<Self>, GatewayError> {
        let served = RwLock::new(Arc::new(read(settings)?));
        Ok(Arc::new(Self { settings: settings.clone(), served }))
    }

    /// TLS 1.3 alone, with whatever is served when a client says hello.
    pub(super) fn config(self: &Arc<Self>) -> Result<ServerConfig, GatewayError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| GatewayError::setting("tls", "TLS 1.3", error))?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        Ok(config)
    }

    /// Looks at the files now and then until shutdown. By content and not by time: mounted secrets change by links.
    pub(super) async fn watch(self: Arc<Self>, shutdown: Shutdown) {
        let pause = Duration::from_millis(u64::from(self.settings.reload_ms).max(50));
        let mut seen = fingerprint(&self.settings);
        while shutdown.or(tokio::time::sleep(pause)).await.is_some() {
            let now = fingerprint(&self.settings);
            if now != seen {
                seen = now;
                self.reload();
            }
        }
    }

    fn reload(&self) {
        match read(&self.settings) {
            Ok(fresh) => {
                *self.served.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                tracing::info!("the certificate was read again");
            }
            Err(error) => {
                let error = picket_domain::cause(&error);
                tracing::warn!(error, "the files of the certificate changed and cannot be used; the old one is kept");
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.served.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}

/// The pair in the files; a key that is another certificate's is refused.
fn read(settings: &TlsSettings) -> Result<CertifiedKey, GatewayError> {
    let bad_certificate = |error| GatewayError::setting("tls.certificate", "a certificate chain in PEM", error);
    let bad_key = |error| GatewayError::setting("tls.key", "the private key of the certificate", error);
    let chain = CertificateDer::pem_file_iter(&settings.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(bad_certificate)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key)
        .map_err(|error| GatewayError::setting("tls.key", "a private key in PEM", error))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(bad_key)
}

/// What the files hold, as far as they can be read.
fn fingerprint(settings: &TlsSettings) -> [Option<[u8; 32]>; 2] {
    let of = |path: &Path| std::fs::read(path).ok().map(|bytes| Sha256::digest(bytes).into());
    [of(&settings.certificate), of(&settings.key)]
}
