//! How to reach the operator's mail server.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::Deserialize;

/// Settings of the mail server that takes our letters.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpSettings {
    /// Name of the server; its certificate must be for this name.
    pub host: String,
    /// Its port; 465, 587 or 25 where it is missing, as `tls` says.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is secured.
    #[serde(default)]
    pub tls: SmtpTls,
    /// Who we are to the server, if it asks; together with `password`.
    #[serde(default)]
    pub username: Option<String>,
    /// The password of `username`.
    #[serde(default)]
    pub password: Option<SecretString>,
    /// Who letters come from: `Picket <no-reply@example.com>`, or an address alone.
    pub from: String,
    /// Where replies go, if not to `from`.
    #[serde(default)]
    pub reply_to: Option<String>,
    /// The name that we greet the server with; this machine's where it is missing.
    #[serde(default)]
    pub helo: Option<String>,
    /// A PEM file with further certificate authorities to trust.
    #[serde(default)]
    pub extra_authorities: Option<PathBuf>,
    /// How long one letter may take, from the connection to the server's last word, in seconds: 1 to 45.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: u64,
}

/// How the connection to a mail server is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// TLS from the first byte (RFC 8314).
    #[default]
    Implicit,
    /// The server must offer STARTTLS; nothing is sent without it.
    Starttls,
    /// In the clear; for a server on this machine or in a private network.
    None,
}

impl SmtpSettings {
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            SmtpTls::Implicit => 465,
            SmtpTls::Starttls => 587,
            SmtpTls::None => 25,
        })
    }

    pub(super) const fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }
}

const fn default_timeout() -> u64 {
    30
}
