//! A client's parameters, and the command line of one run.

use picket_domain::{Invocation, Pool, Shard};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    ParamsError, TaskShape,
    aim::Aim,
    typed::Port,
};

const HTTPS: Port = Port(443);
const MAX_SHOWS: usize = 4;

/// What a client may say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Params {
    /// The port of the service.
    port: Port,
    /// The protocol that is spoken before TLS begins.
    starttls: Option<StartTls>,
    /// Whether to try the named attack Heartbleed. Without it the run only looks, which needs no ground to scan the target.
    #[serde(skip_serializing_if = "is_true")]
    heartbleed: bool,
    /// What to look at beside protocols, cipher suites, groups and the certificate.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "read_shows")]
    #[schemars(length(max = 4))]
    show: Vec<Show>,
}

impl Default for Params {
    fn default() -> Self {
        Self { port: HTTPS, starttls: None, heartbleed: true, show: Vec::new() }
    }
}

/// Protocols that turn to TLS on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum StartTls {
    Ftp,
    Imap,
    Irc,
    Ldap,
    Mysql,
    Pop3,
    Postgres,
    Smtp,
    Xmpp,
}

/// What sslscan shows on request. It stands in the report alone: findings do not change by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Show {
    /// The whole certificate.
    Certificate,
    /// The authorities whose client certificates the server takes.
    ClientCas,
    /// The algorithms with which the server signs.
    Signatures,
    /// How long each handshake took.
    Times,
}

impl Show {
    const fn option(self) -> &'static str {
        match self {
            Self::Certificate => "--show-certificate",
            Self::ClientCas => "--show-client-cas",
            Self::Signatures => "--show-sigs",
            Self::Times => "--show-times",
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_true(value: &bool) -> bool {
    *value
}

/// Each once, in one order.
fn read_shows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Show>, D::Error> {
    let mut shows = Vec::<Show>::deserialize(deserializer)?;
    if shows.len() > MAX_SHOWS {
        return Err(D::Error::custom("expected at most 4 names"));
    }
    shows.sort_unstable();
    shows.dedup();
    Ok(shows)
}

impl StartTls {
    const fn option(self) -> &'static str {
        match self {
            Self::Ftp => "--starttls-ftp",
            Self::Imap => "--starttls-imap",
            Self::Irc => "--starttls-irc",
            Self::Ldap => "--starttls-ldap",
            Self::Mysql => "--starttls-mysql",
            Self::Pop3 => "--starttls-pop3",
            Self::Postgres => "--starttls-psql",
            Self::Smtp => "--starttls-smtp",
            Self::Xmpp => "--starttls-xmpp",
        }
    }
}

impl Params {
    pub(super) fn task(&self) -> TaskShape {
        TaskShape::one_port(self, Pool::Tls)
    }

    /// Whether no named attack is tried.
    pub(super) const fn only_looks(&self) -> bool {
        !self.heartbleed
    }

    pub(super) fn invocation(&self, shard: &Shard) -> Result<Invocation, ParamsError> {
        let aim = Aim::of(shard)?;
        let mut args = vec!["--no-colour".to_owned(), "--xml=-".to_owned(), "--timeout=5".to_owned()];
        args.extend(aim.name().map(|name| format!("--sni-name={name}")));
        args.extend(self.starttls.map(|protocol| protocol.option().to_owned()));
        args.extend((!self.heartbleed).then(|| "--no-heartbleed".to_owned()));
        args.extend(self.show.iter().map(|what| what.option().to_owned()));
        args.push(aim.socket(self.port));
        Ok(Invocation { args, ..aim.invocation("sslscan", "/usr/bin/sslscan", self.port) })
    }
}
