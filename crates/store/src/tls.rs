//! TLS to Postgres: all of it or none. With an authority's certificates, a server that does not show one of theirs, for the
//! name that it is called by, gets no word of ours, no password either; nothing ever falls back to plain.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem, pem::PemObject},
};
use tokio_postgres::{Config, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How connections to Postgres are secured; cheap to clone.
#[derive(Clone)]
pub struct DbTls {
    connect: MakeRustlsConnect,
    is_required: bool,
}

/// TLS that cannot be had as it is set.
#[derive(Debug, thiserror::Error)]
pub enum DbTlsError {
    /// The file is none, or holds no certificate.
    #[error("expected certificates (PEM) in {}", .path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Option<pem::Error>,
    },
    /// A certificate cannot be used, or our TLS cannot.
    #[error("expected certificates that can be used")]
    Unusable(#[from] rustls::Error),
}

impl DbTls {
    /// None. A URL that demands TLS (`sslmode=require`) then finds no authority to trust, and no connection comes about.
    ///
    /// # Errors
    /// Never, while our TLS has the protocols that it is built with.
    pub fn off() -> Result<Self, DbTlsError> {
        Self::with(RootCertStore::empty(), false)
    }

    /// TLS 1.2 or 1.3 with a server whose certificate one of these authorities signed.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no certificate.
    pub fn require(authorities: &Path) -> Result<Self, DbTlsError> {
        let refused = |source| DbTlsError::Authority { path: authorities.to_owned(), source };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(authorities).map_err(|error| refused(Some(error)))? {
            roots.add(certificate.map_err(|error| refused(Some(error)))?)?;
        }
        if roots.is_empty() { Err(refused(None)) } else { Self::with(roots, true) }
    }

    fn with(roots: RootCertStore, is_required: bool) -> Result<Self, DbTlsError> {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { connect: MakeRustlsConnect::new(config), is_required })
    }

    /// Puts it into the settings of a connection, and gives what makes one.
    pub(crate) fn apply(&self, config: &mut Config) -> MakeRustlsConnect {
        if self.is_required {
            config.ssl_mode(SslMode::Require);
        } else if config.get_ssl_mode() != SslMode::Require {
            // What the driver prefers by itself would be TLS with whoever answers.
            config.ssl_mode(SslMode::Disable);
        }
        self.connect.clone()
    }
}
