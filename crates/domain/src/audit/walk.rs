//! Walking along a chain of the audit log: the first row that is not what was written is named. Pure; trusts nothing that
//! is stored but the place where it begins.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{chain, genesis};
use crate::OrganizationId;

/// The hash of a row; 64 hexadecimal digits on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AuditHash(pub [u8; 32]);

/// A text that is no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits")]
pub struct AuditHashError;

/// A place in a chain: the last row that is known, and its hash. Sequence 0 is before the first row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPoint {
    /// The row.
    pub sequence: i64,
    /// Its hash.
    pub hash: AuditHash,
}

/// A row as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRow {
    /// Its place.
    pub sequence: i64,
    /// When, as the column says; the entry says it too.
    pub at: Timestamp,
    /// The text that is hashed.
    pub entry: String,
    /// The hash that was stored with it.
    pub hash: AuditHash,
}

/// Why a row is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakReason {
    /// The row is not there.
    Missing,
    /// The row stands behind one that it should precede.
    OutOfOrder,
    /// The entry, its place, or a hash was changed.
    Altered,
    /// The column of the time says something else than the entry.
    TimeAltered,
    /// The row is there, but the head of the chain says that it ends before.
    BeyondHead,
    /// The head of the chain has another hash than the row.
    HeadDiffers,
}

/// The first row that is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// The row.
    pub sequence: i64,
    /// What is wrong with it.
    pub why: BreakReason,
}

/// A walk from row to row.
#[derive(Debug, Clone, Copy)]
pub struct ChainWalk(AuditPoint);

impl ChainWalk {
    /// Begins before the first row.
    #[must_use]
    pub fn begin(organization: OrganizationId) -> Self {
        Self::after(AuditPoint::start(organization))
    }

    /// Begins behind a row that is trusted.
    #[must_use]
    pub const fn after(point: AuditPoint) -> Self {
        Self(point)
    }

    /// The last row that was good.
    #[must_use]
    pub const fn point(&self) -> AuditPoint {
        self.0
    }

    /// Goes on to the next row.
    ///
    /// # Errors
    /// The row that is missing or was changed; the walk stays where it was.
    pub fn step(&mut self, row: &AuditRow) -> Result<(), Broken> {
        let expected = self.0.sequence.saturating_add(1);
        let why = if row.sequence < expected {
            Some(BreakReason::OutOfOrder)
        } else if row.sequence > expected {
            Some(BreakReason::Missing)
        } else if chain(&self.0.hash.0, expected, &row.entry) != row.hash.0 {
            Some(BreakReason::Altered)
        } else if !row.agrees_on_time() {
            Some(BreakReason::TimeAltered)
        } else {
            None
        };
        match why {
            Some(BreakReason::OutOfOrder) => Err(Broken { sequence: row.sequence, why: BreakReason::OutOfOrder }),
            Some(why) => Err(Broken { sequence: expected, why }),
            None => {
                self.0 = AuditPoint { sequence: row.sequence, hash: row.hash };
                Ok(())
            }
        }
    }

    /// Compares the end of the walk with a head that is known from elsewhere.
    ///
    /// # Errors
    /// The first row that the head knows and that is not there, or the one that it does not know.
    pub fn end(&self, head: AuditPoint) -> Result<(), Broken> {
        let last = self.0;
        if last.sequence < head.sequence {
            Err(Broken { sequence: last.sequence.saturating_add(1), why: BreakReason::Missing })
        } else if last.sequence > head.sequence {
            Err(Broken { sequence: head.sequence.saturating_add(1), why: BreakReason::BeyondHead })
        } else if last.hash != head.hash {
            Err(Broken { sequence: head.sequence, why: BreakReason::HeadDiffers })
        } else {
            Ok(())
        }
    }
}

impl AuditPoint {
    /// Before the first row of an organization.
    #[must_use]
    pub fn start(organization: OrganizationId) -> Self {
        Self { sequence: 0, hash: AuditHash(genesis(organization)) }
    }
}

impl AuditRow {
    /// Whether column and entry mean the same moment; the column has microseconds.
    fn agrees_on_time(&self) -> bool {
        #[derive(Deserialize)]
        struct When {
            at: Timestamp,
        }
        let said = serde_json::from_str::<When>(&self.entry).ok();
        said.is_some_and(|said| (said.at.as_nanosecond() - self.at.as_nanosecond()).abs() < 1_000)
    }
}

impl fmt::Display for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for AuditHash {
    type Err = AuditHashError;

    fn from_str(text: &str) -> Result<Self, AuditHashError> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(AuditHashError);
        }
        let mut hash = [0_u8; 32];
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| AuditHashError)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| AuditHashError)?;
        }
        Ok(Self(hash))
    }
}

impl From<AuditHash> for String {
    fn from(hash: AuditHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for AuditHash {
    type Error = AuditHashError;

    fn try_from(text: String) -> Result<Self, AuditHashError> {
        text.parse()
    }
}

impl BreakReason {
    /// What is wrong, for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Missing => "it is missing",
            Self::OutOfOrder => "it is out of order",
            Self::Altered => "its entry, its place or a hash was changed",
            Self::TimeAltered => "its time is not that of its entry",
            Self::BeyondHead => "the head of the chain ends before it",
            Self::HeadDiffers => "the head of the chain has another hash",
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}: {}", self.sequence, self.why.text())
    }
}

#[cfg(test)]
mod tests;
