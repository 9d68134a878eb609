//! A client's parameters, and the command line of one run.

use picket_domain::{Invocation, Needs, Pool, SandboxLevel, Shard};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ParamsError, TaskShape,
    aim::Aim,
    typed::{self, Port},
};

const HTTPS: Port = Port(443);

/// What a client may say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Params {
    /// The port of the service.
    port: Port,
    /// The protocol that is spoken before TLS begins.
    starttls: Option<StartTls>,
}

impl Default for Params {
    fn default() -> Self {
        Self { port: HTTPS, starttls: None }
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
        let needs = Needs { pool: Pool::Tls, level: SandboxLevel::L2 };
        TaskShape { params: typed::canonical(self), needs, ports: 1 }
    }

    pub(super) fn invocation(&self, shard: &Shard) -> Result<Invocation, ParamsError> {
        let aim = Aim::of(shard)?;
        let mut args = vec!["--no-colour".to_owned(), "--xml=-".to_owned(), "--timeout=5".to_owned()];
        args.extend(aim.name().map(|name| format!("--sni-name={name}")));
        args.extend(self.starttls.map(|protocol| protocol.option().to_owned()));
        args.push(aim.socket(self.port));
        Ok(Invocation { args, ..aim.invocation("sslscan", "/usr/bin/sslscan", self.port) })
    }
}
