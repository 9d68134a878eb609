//! The way to the mail server: one connection a letter, so that an answer never belongs to another letter.
//! What a server says may repeat the address, so only codes of it are kept.

use std::{error::Error as _, path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use lettre::{
    Address, Message,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
    transport::smtp::{
        Error,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, Certificate, TlsParameters},
        extension::ClientId,
        response::Severity,
    },
};
use picket_domain::MailId;
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::{SmtpSettings, SmtpTls, render::Rendered};

/// A letter may take at most this long: a claim holds for 60 s, and its end must be stored in that time as well.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(45);

/// How long a server may take for its goodbye, once it has the letter.
const GOODBYE: Duration = Duration::from_secs(2);

/// Answers that concern us and not the letter (RFC 4954 §6): somebody has to look at the settings.
const OURS: [&str; 4] = ["530", "534", "535", "538"];

/// Sends letters; cheap to clone.
#[derive(Clone)]
pub struct Mailer(Arc<Inner>);

struct Inner {
    host: String,
    port: u16,
    tls: Security,
    credentials: Option<Credentials>,
    from: Mailbox,
    reply_to: Option<Mailbox>,
    helo: ClientId,
    timeout: Duration,
}

enum Security {
    Implicit(TlsParameters),
    Starttls(TlsParameters),
    None,
}

/// The settings of the mail server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    /// An address that is none.
    #[error("dispatcher.smtp.{0}: expected an address such as `Picket <no-reply@example.com>`")]
    Address(&'static str),
    /// Half of the credentials.
    #[error("dispatcher.smtp: expected both username and password, or neither")]
    Credentials,
    /// A password would go out in the clear.
    #[error("dispatcher.smtp.tls: expected `implicit` or `starttls` where there is a password")]
    PlainPassword,
    /// The greeting is no name.
    #[error("dispatcher.smtp.helo: expected a host name")]
    Helo,
    /// The limit is too short or outlives a claim.
    #[error("dispatcher.smtp.timeout_seconds: expected 1 to 45")]
    Timeout,
    /// The authorities cannot be read.
    #[error("dispatcher.smtp.extra_authorities: expected a PEM file that can be read")]
    Authorities(#[source] std::io::Error),
    /// TLS cannot be set up.
    #[error("dispatcher.smtp: tls cannot be set up")]
    Tls(#[source] Error),
}

/// A letter that did not leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Whether the same letter would fail again.
    pub(crate) permanent: bool,
    /// Why; names no address.
    pub(crate) reason: String,
}

impl Failure {
    pub(crate) fn permanent(reason: &str) -> Self {
        Self { permanent: true, reason: reason.to_owned() }
    }

    pub(crate) fn passing(reason: &str) -> Self {
        Self { permanent: false, reason: reason.to_owned() }
    }

    /// Nothing was said about the letter yet: whatever is wrong may be put right.
    fn before(error: &Error) -> Self {
        Self { permanent: false, reason: reason(error) }
    }

    /// The server's word about the letter.
    fn of(error: &Error) -> Self {
        let ours = error.status().is_some_and(|code| OURS.contains(&code.to_string().as_str()));
        // The client itself refuses an address that this server does not speak (RFC 6531).
        Self { permanent: (error.is_permanent() && !ours) || error.is_client(), reason: reason(error) }
    }
}

impl Mailer {
    /// Reads the settings; nothing connects yet.
    ///
    /// # Errors
    /// Which setting cannot be used.
    pub fn new(settings: &SmtpSettings) -> Result<Self, MailerError> {
        let credentials = match (&settings.username, &settings.password) {
            (Some(name), Some(word)) => Some(Credentials::new(name.clone(), word.expose_secret().to_owned())),
            (None, None) => None,
            _ => return Err(MailerError::Credentials),
        };
        if credentials.is_some() && settings.tls == SmtpTls::None {
            return Err(MailerError::PlainPassword);
        }
        if settings.timeout().is_zero() || settings.timeout() > LONGEST_TIMEOUT {
            return Err(MailerError::Timeout);
        }
        let mailbox = |name, text: &String| text.parse::<Mailbox>().map_err(|_| MailerError::Address(name));
        Ok(Self(Arc::new(Inner {
            host: settings.host.clone(),
            port: settings.port(),
            tls: security(settings)?,
            credentials,
            from: mailbox("from", &settings.from)?,
            reply_to: settings.reply_to.as_ref().map(|text| mailbox("reply_to", text)).transpose()?,
            helo: settings.helo.as_deref().map_or(Ok(ClientId::default()), greeting)?,
            timeout: settings.timeout(),
        })))
    }

    /// Hands a letter to the server. Its id makes the `Message-ID`, so that a letter that was sent twice can be known.
    pub(crate) async fn send(
        &self,
        id: MailId,
        recipient: &str,
        letter: Rendered,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let message = self.message(id, recipient, letter, now)?;
        let mut connection = timeout(self.0.timeout, self.hand_over(&message))
            .await
            .unwrap_or_else(|_| Err(Failure::passing("timeout")))?;
        // The letter is the server's now: how the goodbye goes changes nothing.
        let _said = timeout(GOODBYE, connection.quit()).await;
        Ok(())
    }

    fn message(&self, id: MailId, recipient: &str, letter: Rendered, now: Timestamp) -> Result<Message, Failure> {
        let plain = !recipient.chars().any(|c| c.is_control() || c.is_whitespace());
        let to = recipient.parse::<Address>().ok().filter(|_| plain);
        let to = to.ok_or_else(|| Failure::permanent("unusable address"))?;
        let from = self.0.from.clone();
        let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
        let mut message = Message::builder()
            .message_id(Some(format!("<{id}@{}>", from.email.domain())))
            .date(now.into())
            .from(from)
            .to(Mailbox::new(None, to))
            .subject(letter.subject)
            .raw_header(automatic);
        if let Some(reply_to) = self.0.reply_to.clone() {
            message = message.reply_to(reply_to);
        }
        let parts = MultiPart::alternative_plain_html(letter.text, letter.html);
        message.multipart(parts).map_err(|_| Failure::permanent("unusable message"))
    }

    async fn hand_over(&self, message: &Message) -> Result<AsyncSmtpConnection, Failure> {
        let mut connection = self.connect().await.map_err(|error| Failure::before(&error))?;
        let answer = connection.send(message.envelope(), &message.formatted()).await;
        let answer = answer.map_err(|error| Failure::of(&error))?;
        if answer.code().severity == Severity::PositiveCompletion {
            Ok(connection)
        } else {
            Err(Failure::passing("unexpected answer"))
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let Inner { host, port, tls, credentials, helo, .. } = self.0.as_ref();
        let implicit = if let Security::Implicit(tls) = tls { Some(tls.clone()) } else { None };
        let server = (host.as_str(), *port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, Some(self.0.timeout), helo, implicit, None).await?;
        if let Security::Starttls(tls) = tls {
            connection.starttls(tls.clone(), helo).await?;
        }
        if let Some(credentials) = credentials {
            connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await?;
        }
        Ok(connection)
    }
}

fn security(settings: &SmtpSettings) -> Result<Security, MailerError> {
    let parameters = || {
        let mut builder = TlsParameters::builder(settings.host.clone());
        if let Some(path) = &settings.extra_authorities {
            builder = builder.add_root_certificate(authorities(path)?);
        }
        builder.build().map_err(MailerError::Tls)
    };
    Ok(match settings.tls {
        SmtpTls::Implicit => Security::Implicit(parameters()?),
        SmtpTls::Starttls => Security::Starttls(parameters()?),
        SmtpTls::None => Security::None,
    })
}

fn authorities(path: &Path) -> Result<Certificate, MailerError> {
    let pem = std::fs::read(path).map_err(MailerError::Authorities)?;
    Certificate::from_pem(&pem).map_err(MailerError::Tls)
}

fn greeting(name: &str) -> Result<ClientId, MailerError> {
    let good = !name.is_empty() && name.len() <= 255 && name.chars().all(|c| c.is_ascii_graphic());
    good.then(|| ClientId::Domain(name.to_owned())).ok_or(MailerError::Helo)
}

/// What went wrong in a few words of ours, with the server's codes: `smtp 550 5.1.1`.
fn reason(error: &Error) -> String {
    if let Some(code) = error.status() {
        let said = error.source().map(ToString::to_string).unwrap_or_default();
        let class = said.split_whitespace().next().filter(|word| is_status(word));
        return class.map_or_else(|| format!("smtp {code}"), |class| format!("smtp {code} {class}"));
    }
    let class = if error.is_tls() || is_handshake(error) {
        "tls"
    } else if error.is_client() {
        "not offered by the server"
    } else if error.is_timeout() {
        "timeout"
    } else {
        "connection"
    };
    class.to_owned()
}

/// Whether TLS was refused while connecting: the way there passes it on as invalid data.
fn is_handshake(error: &Error) -> bool {
    let sources = std::iter::successors(error.source(), |source| (*source).source());
    let mut inner = sources.filter_map(|source| source.downcast_ref::<std::io::Error>());
    inner.any(|inner| inner.kind() == std::io::ErrorKind::InvalidData)
}

/// Whether it is an enhanced status code (RFC 3463).
fn is_status(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    let number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(number)
}

#[cfg(test)]
mod tests;
