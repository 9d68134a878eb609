//! Webhooks: where an organization hears of its events, under which names, and with which secret they are signed.
//! The guard of addresses is not here but in `picket-outbound`: a URL that parses may still be refused there.

mod secret;

use std::fmt;

use jiff::Timestamp;
use url::Url;

pub use self::secret::WebhookSecret;
use crate::{Dialect, EventBody, OrganizationId, Severity, WebhookId};

/// The longest URL of a webhook, in bytes.
const LONGEST_URL: usize = 2_048;

/// An endpoint that receives events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Identity.
    pub id: WebhookId,
    /// Owner.
    pub organization_id: OrganizationId,
    /// Where events are sent.
    pub url: WebhookUrl,
    /// Decides the names of events and the shape of payloads.
    pub dialect: Dialect,
    /// What it hears of; never empty.
    pub events: Vec<WebhookEvent>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Since when and why it hears of nothing, when it is disabled.
    pub disabled: Option<Disabled>,
}

/// Why a webhook is silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disabled {
    /// Since when.
    pub at: Timestamp,
    /// Why, in words fit for the client.
    pub reason: String,
}

/// A URL of a webhook or its list of events cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The URL cannot be used.
    #[error("expected an absolute https URL without user, password and fragment, at most 2048 characters long")]
    Url,
    /// The list names nothing.
    #[error("expected at least one event")]
    NoEvents,
    /// The list names what the dialect does not have.
    #[error("expected one of {known}, found `{found}`")]
    UnknownEvent {
        /// What was found, cut to 64 characters.
        found: String,
        /// What the dialect has.
        known: String,
    },
}

/// A well-formed `http` or `https` URL with a host, without credentials and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

impl WebhookUrl {
    /// Checks the form; whether it may be called is for the outbound guard, at creation and again at every attempt.
    pub fn parse(text: &str) -> Result<Self, WebhookError> {
        let suspicious = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
        if text.len() > LONGEST_URL || text.contains(suspicious) {
            return Err(WebhookError::Url);
        }
        let url = Url::parse(text).map_err(|_| WebhookError::Url)?;
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        // An `@` before the path is credentials even where the parser sees empty ones.
        let authority = text.split_once("://").map(|(_, rest)| rest.split(['/', '?']).next().unwrap_or_default());
        let hidden = authority.is_none_or(|authority| authority.contains('@'));
        if matches!(url.scheme(), "http" | "https") && url.has_host() && plain && !hidden {
            Ok(Self(url))
        } else {
            Err(WebhookError::Url)
        }
    }

    /// The URL.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// What a webhook can hear of; each dialect has some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WebhookEvent {
    /// A scan was accepted.
    ScanCreated,
    /// A scan began.
    ScanStarted,
    /// A scan ended with its result.
    ScanCompleted,
    /// A scan ended without one.
    ScanFailed,
    /// A scan was stopped by the client.
    ScanCancelled,
    /// A scan is held.
    ScanPaused,
    /// A scan goes on.
    ScanResumed,
    /// A report was rendered.
    ReportGenerated,
    /// A critical finding is new.
    FindingCritical,
    /// A finding that is at least low is new.
    VulnerabilityFound,
}

impl WebhookEvent {
    /// Every event.
    pub const ALL: [Self; 10] = [
        Self::ScanCreated,
        Self::ScanStarted,
        Self::ScanCompleted,
        Self::ScanFailed,
        Self::ScanCancelled,
        Self::ScanPaused,
        Self::ScanResumed,
        Self::ReportGenerated,
        Self::FindingCritical,
        Self::VulnerabilityFound,
    ];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScanCreated => "scan.created",
            Self::ScanStarted => "scan.started",
            Self::ScanCompleted => "scan.completed",
            Self::ScanFailed => "scan.failed",
            Self::ScanCancelled => "scan.cancelled",
            Self::ScanPaused => "scan.paused",
            Self::ScanResumed => "scan.resumed",
            Self::ReportGenerated => "report.generated",
            Self::FindingCritical => "finding.critical",
            Self::VulnerabilityFound => "vulnerability.found",
        }
    }

    /// Whether a dialect has it (`docs/contract.md`, "events" and §16).
    #[must_use]
    pub const fn is_in(self, dialect: Dialect) -> bool {
        match self {
            Self::ScanStarted | Self::ScanCompleted | Self::ScanFailed => true,
            Self::ScanCreated
            | Self::ScanCancelled
            | Self::ScanPaused
            | Self::ScanResumed
            | Self::ReportGenerated
            | Self::FindingCritical => matches!(dialect, Dialect::V1),
            Self::VulnerabilityFound => matches!(dialect, Dialect::V2),
        }
    }

    /// All events of a dialect.
    #[must_use]
    pub fn of_dialect(dialect: Dialect) -> Vec<Self> {
        Self::ALL.into_iter().filter(|event| event.is_in(dialect)).collect()
    }

    /// The event of that name in that dialect.
    #[must_use]
    pub fn find(dialect: Dialect, name: &str) -> Option<Self> {
        Self::of_dialect(dialect).into_iter().find(|event| event.name() == name)
    }

    /// Reads a client's list of names: at least one, each known to the dialect; sorted, without repetitions.
    pub fn parse_list<S: AsRef<str>>(dialect: Dialect, names: &[S]) -> Result<Vec<Self>, WebhookError> {
        let mut events = names
            .iter()
            .map(|name| Self::find(dialect, name.as_ref()).ok_or_else(|| Self::unknown(dialect, name.as_ref())))
            .collect::<Result<Vec<_>, _>>()?;
        events.sort_unstable();
        events.dedup();
        if events.is_empty() { Err(WebhookError::NoEvents) } else { Ok(events) }
    }

    fn unknown(dialect: Dialect, found: &str) -> WebhookError {
        let known: Vec<_> = Self::of_dialect(dialect).into_iter().map(Self::name).collect();
        WebhookError::UnknownEvent { found: found.chars().take(64).collect(), known: known.join(", ") }
    }

    /// What a dialect makes of something that happened; `None` when it does not speak of it.
    #[must_use]
    pub fn of(dialect: Dialect, body: &EventBody) -> Option<Self> {
        let event = match body {
            EventBody::ScanCreated(_) => Self::ScanCreated,
            EventBody::ScanStarted(_) => Self::ScanStarted,
            EventBody::ScanPaused(_) => Self::ScanPaused,
            EventBody::ScanResumed(_) => Self::ScanResumed,
            EventBody::ScanCompleted(_) => Self::ScanCompleted,
            EventBody::ScanFailed(_) => Self::ScanFailed,
            EventBody::ScanCancelled(_) => match dialect {
                Dialect::V1 => Self::ScanCancelled,
                Dialect::V2 => Self::ScanFailed,
            },
            EventBody::FindingFound(found) => match (dialect, found.severity) {
                (Dialect::V1, Severity::Critical) => Self::FindingCritical,
                (Dialect::V2, Severity::Low | Severity::Medium | Severity::High | Severity::Critical) => {
                    Self::VulnerabilityFound
                }
                (Dialect::V1 | Dialect::V2, _) => return None,
            },
            EventBody::ReportGenerated(_) => Self::ReportGenerated,
            EventBody::ReportRequested(_) | EventBody::TaskQueued(_) => return None,
        };
        event.is_in(dialect).then_some(event)
    }
}

#[cfg(test)]
mod tests;
