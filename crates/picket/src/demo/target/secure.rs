//! TLS with a certificate that vouches for itself and expired long ago. The key is new at every start and stays in memory.

use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio_rustls::TlsAcceptor;

/// The certificate cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Making it failed.
    #[error("expected a certificate that can be made")]
    Make(#[from] rcgen::Error),
    /// TLS refuses it.
    #[error("expected a certificate that TLS can use")]
    Use(#[from] rustls::Error),
}

/// Accepts TLS with that certificate.
pub(super) fn expired_acceptor() -> Result<TlsAcceptor, CertificateError> {
    let mut params = CertificateParams::new(vec!["portal.demo.invalid".to_owned()])?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "portal.demo.invalid");
    name.push(DnType::OrganizationName, "Demo");
    params.distinguished_name = name;
    params.not_before = date_time_ymd(2019, 3, 1);
    params.not_after = date_time_ymd(2020, 3, 1);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
