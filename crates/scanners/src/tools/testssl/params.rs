//! A client's parameters, and the command line of one run.

use picket_domain::{Invocation, Pool, Shard, ToolOutput};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    ParamsError, TaskShape,
    aim::Aim,
    typed::Port,
};

const HTTPS: Port = Port(443);
/// Each check once.
const MAX_CHECKS: usize = 32;

/// What a client may say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Params {
    /// The port of the service.
    port: Port,
    /// The protocol that is spoken before TLS begins.
    starttls: Option<StartTls>,
    /// The parts to run; none means all of them.
    #[serde(deserialize_with = "read_checks")]
    #[schemars(length(max = 32))]
    checks: Vec<Check>,
}

impl Default for Params {
    fn default() -> Self {
        Self { port: HTTPS, starttls: None, checks: Vec::new() }
    }
}

/// Protocols that turn to TLS on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum StartTls {
    Ftp,
    Imap,
    Ldap,
    Lmtp,
    Mysql,
    Nntp,
    Pop3,
    Postgres,
    Smtp,
    Xmpp,
}

impl StartTls {
    const fn name(self) -> &'static str {
        match self {
            Self::Ftp => "ftp",
            Self::Imap => "imap",
            Self::Ldap => "ldap",
            Self::Lmtp => "lmtp",
            Self::Mysql => "mysql",
            Self::Nntp => "nntp",
            Self::Pop3 => "pop3",
            Self::Postgres => "postgres",
            Self::Smtp => "smtp",
            Self::Xmpp => "xmpp",
        }
    }
}

/// A part of testssl.sh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Check {
    /// Protocols.
    Protocols,
    /// Kinds of cipher suites.
    Ciphers,
    /// Forward secrecy.
    ForwardSecrecy,
    /// The server's preferences.
    Preference,
    /// Defaults and certificate.
    Certificate,
    /// Headers of HTTP.
    Headers,
    /// Every named attack.
    Vulnerabilities,
    /// Heartbleed alone.
    Heartbleed,
    /// CCS injection alone.
    Ccs,
    /// Ticketbleed alone.
    Ticketbleed,
    /// ROBOT alone.
    Robot,
    /// Renegotiation alone.
    Renegotiation,
    /// CRIME alone.
    Crime,
    /// BREACH alone.
    Breach,
    /// POODLE alone.
    Poodle,
    /// SWEET32 alone.
    Sweet32,
    /// FREAK alone.
    Freak,
    /// DROWN alone.
    Drown,
    /// Logjam alone.
    Logjam,
    /// BEAST alone.
    Beast,
    /// Lucky 13 alone.
    Lucky13,
    /// RC4 alone.
    Rc4,
}

impl Check {
    const fn option(self) -> &'static str {
        match self {
            Self::Protocols => "--protocols",
            Self::Ciphers => "--std",
            Self::ForwardSecrecy => "--fs",
            Self::Preference => "--server-preference",
            Self::Certificate => "--server-defaults",
            Self::Headers => "--headers",
            Self::Vulnerabilities => "--vulnerable",
            Self::Heartbleed => "--heartbleed",
            Self::Ccs => "--ccs-injection",
            Self::Ticketbleed => "--ticketbleed",
            Self::Robot => "--robot",
            Self::Renegotiation => "--renegotiation",
            Self::Crime => "--compression",
            Self::Breach => "--breach",
            Self::Poodle => "--poodle",
            Self::Sweet32 => "--sweet32",
            Self::Freak => "--freak",
            Self::Drown => "--drown",
            Self::Logjam => "--logjam",
            Self::Beast => "--beast",
            Self::Lucky13 => "--lucky13",
            Self::Rc4 => "--rc4",
        }
    }
}

fn read_checks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Check>, D::Error> {
    let mut checks = Vec::<Check>::deserialize(deserializer)?;
    if checks.len() > MAX_CHECKS {
        return Err(D::Error::custom("expected at most 32 checks"));
    }
    checks.sort_unstable();
    checks.dedup();
    Ok(checks)
}

impl Params {
    /// Whether no named attack is among the checks; without a list all of them are.
    pub(super) fn only_looks(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| *check <= Check::Headers)
    }

    pub(super) fn task(&self) -> TaskShape {
        TaskShape::one_port(self, Pool::Tls)
    }

    pub(super) fn invocation(&self, shard: &Shard) -> Result<Invocation, ParamsError> {
        const REPORT: &str = "/scratch/report.json";
        let aim = Aim::of(shard)?;
        let always = [
            "--warnings",
            "off",
            "--color",
            "0",
            "--quiet",
            "--connect-timeout",
            "10",
            "--openssl-timeout",
            "10",
            "-n",
            "none",
        ];
        let mut args: Vec<String> = always.map(str::to_owned).to_vec();
        args.extend(["--jsonfile".to_owned(), REPORT.to_owned(), "--ip".to_owned(), aim.address().to_string()]);
        if aim.address().is_ipv6() {
            args.push("-6".to_owned());
        }
        if let Some(protocol) = self.starttls {
            args.extend(["--starttls".to_owned(), protocol.name().to_owned()]);
        }
        args.extend(self.checks.iter().map(|check| check.option().to_owned()));
        args.push(aim.named_socket(self.port));
        let output = ToolOutput::File(REPORT);
        Ok(Invocation { args, output, ..aim.invocation("testssl", "/usr/bin/testssl", self.port) })
    }
}
