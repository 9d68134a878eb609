//! What can go wrong between us and Postgres.

/// A failed store operation.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Postgres refused or did not answer.
    #[error("the database did not answer as expected")]
    Driver(#[from] tokio_postgres::Error),

    /// No connection was free in time, or none could be made.
    #[error("no database connection was free")]
    Pool(#[from] deadpool_postgres::PoolError),

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
            Self::Pool(_) => true,
            Self::Driver(error) => {
                error.is_closed()
                    || error.as_db_error().is_none_or(|db| {
                        // Classes 08 (connection), 53 (resources), 57 (shutdown), 58 (system).
                        ["08", "53", "57", "58"].iter().any(|class| db.code().code().starts_with(class))
                    })
            }
            Self::Inconsistent(_) | Self::Stale { .. } | Self::Conflict { .. } => false,
        }
    }
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
