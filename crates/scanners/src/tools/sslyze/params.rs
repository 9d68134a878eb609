//! A client's parameters, and the command line of one run.

use picket_domain::{Invocation, Pool, Shard};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ParamsError, TaskShape,
    aim::Aim,
    typed::Port,
};

const HTTPS: Port = Port(443);

/// What every run looks at; resumption is left out, since it says nothing that Picket has a rule for.
const CHECKS: [&str; 15] = [
    "--certinfo",
    "--sslv2",
    "--sslv3",
    "--tlsv1",
    "--tlsv1_1",
    "--tlsv1_2",
    "--tlsv1_3",
    "--heartbleed",
    "--openssl_ccs",
    "--fallback",
    "--robot",
    "--compression",
    "--reneg",
    "--elliptic_curves",
    "--early_data",
];

/// What a client may say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Params {
    /// The port of the service.
    port: Port,
    /// The protocol that is spoken before TLS begins.
    starttls: Option<StartTls>,
    /// Fewer connections at a time, for slow servers.
    slow: bool,
}

impl Default for Params {
    fn default() -> Self {
        Self { port: HTTPS, starttls: None, slow: false }
    }
}

/// Protocols that turn to TLS on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum StartTls {
    Ftp,
    Imap,
    Ldap,
    Pop3,
    Postgres,
    Rdp,
    Smtp,
    Xmpp,
}

impl StartTls {
    const fn name(self) -> &'static str {
        match self {
            Self::Ftp => "ftp",
            Self::Imap => "imap",
            Self::Ldap => "ldap",
            Self::Pop3 => "pop3",
            Self::Postgres => "postgres",
            Self::Rdp => "rdp",
            Self::Smtp => "smtp",
            Self::Xmpp => "xmpp",
        }
    }
}

impl Params {
    pub(super) fn task(&self) -> TaskShape {
        TaskShape::one_port(self, Pool::Tls)
    }

    pub(super) fn invocation(&self, shard: &Shard) -> Result<Invocation, ParamsError> {
        let aim = Aim::of(shard)?;
        let mut args = vec!["--json_out=-".to_owned(), "--mozilla_config=disable".to_owned()];
        args.extend(CHECKS.map(str::to_owned));
        args.extend(self.slow.then(|| "--slow_connection".to_owned()));
        args.extend(self.starttls.map(|protocol| format!("--starttls={}", protocol.name())));
        // `name:port{address}` pins the name; with the port behind the address sslyze takes 443.
        args.push(match aim.name() {
            Some(name) => format!("{name}:{}{{{}}}", self.port, aim.address()),
            None => aim.socket(self.port),
        });
        Ok(Invocation { args, ..aim.invocation("sslyze", "/usr/bin/sslyze", self.port) })
    }
}
