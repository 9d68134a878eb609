//! What can go wrong between us and Postgres.

use std::{error::Error, io};

use crate::{DbTlsError, quota::Refusal};

/// A failed store operation.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Postgres refused or did not answer.
    #[error("the database did not answer as expected")]
    Driver(#[from] tokio_postgres::Error),

    /// No connection was free in time, or none could be made.
    #[error("no database connection was free")]
    Pool(#[from] deadpool_postgres::PoolError),

    /// A short read was not answered in time.
    #[error("expected an answer of the database within seconds")]
    Unanswered,

    /// TLS cannot be had as it is set.
    #[error(transparent)]
    Tls(Box<DbTlsError>),

    /// A row holds what it cannot hold.
    #[error(transparent)]
    Inconsistent(#[from] Inconsistent),

    /// The row changed or vanished since it was read, or its fence is another attempt's by now.
    #[error("expected to change {expected} row, changed {actual}")]
    Stale {
        /// Rows that should have changed.
        expected: u64,
        /// Rows that did.
        actual: u64,
    },

    /// The same thing exists already; names the constraint.
    #[error("{constraint} does not hold")]
    Conflict {
        /// The constraint that refused.
        constraint: String,
    },

    /// An operator has stopped what it asks for.
    #[error("an operator has stopped scanning: {reason}")]
    Halted {
        /// Why, for the people of the organization.
        reason: String,
    },

    /// The organization's plan does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl From<DbTlsError> for StoreError {
    fn from(error: DbTlsError) -> Self {
        Self::Tls(Box::new(error))
    }
}

impl StoreError {
    /// Demands that a statement changed exactly one row.
    pub(crate) const fn one(actual: u64) -> Result<(), Self> {
        if actual == 1 { Ok(()) } else { Err(Self::Stale { expected: 1, actual }) }
    }

    /// Tells a refused duplicate from other errors.
    pub(crate) fn conflict(error: tokio_postgres::Error) -> Self {
        let unique = error.as_db_error().filter(|db| *db.code() == tokio_postgres::error::SqlState::UNIQUE_VIOLATION);
        match unique.and_then(tokio_postgres::error::DbError::constraint) {
            Some(constraint) => Self::Conflict { constraint: constraint.to_owned() },
            None => Self::Driver(error),
        }
    }

    /// Whether another try may succeed: the database is away or busy, nothing is wrong with what was asked.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Pool(_) | Self::Unanswered => true,
            Self::Driver(error) => is_outage(error),
            Self::Tls(_)
            | Self::Inconsistent(_)
            | Self::Stale { .. }
            | Self::Conflict { .. }
            | Self::Halted { .. }
            | Self::Refused(_) => false,
        }
    }
}

/// Begins of SQLSTATEs after which the same statement may succeed: classes 08 (connection), 53 (resources), 57 (shutdown),
/// 58 (system); of class 40 a lost race for serialization and a deadlock.
const OUTAGES: [&str; 6] = ["08", "53", "57", "58", "40001", "40P01"];

fn is_outage(error: &tokio_postgres::Error) -> bool {
    if let Some(db) = error.as_db_error() {
        return OUTAGES.iter().any(|begin| db.code().code().starts_with(begin));
    }
    error.is_closed() || error.source().and_then(|source| source.downcast_ref()).is_some_and(is_broken)
}

/// Whether the connection broke. The driver reports a message that it cannot write or read as an I/O error, too; that is
/// a fault of ours, as is a value of the wrong type, which has no I/O error at all.
fn is_broken(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
}

/// A row contradicts the domain; names the place, for the one who repairs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("inconsistent row in {table}.{column}")]
pub struct Inconsistent {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
}
