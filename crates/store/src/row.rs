//! Reading rows without panics: a column that does not hold what the domain expects names its table.

use serde::de::DeserializeOwned;
use tokio_postgres::{
    Row,
    types::{FromSql, Json},
};

use crate::Inconsistent;

/// A row of a table.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'a> {
    row: &'a Row,
    table: &'static str,
}

impl<'a> Columns<'a> {
    /// Reads `row` as one of `table`.
    pub(crate) const fn new(table: &'static str, row: &'a Row) -> Self {
        Self { row, table }
    }

    /// A column as it is.
    pub(crate) fn get<T: FromSql<'a>>(&self, column: &'static str) -> Result<T, Inconsistent> {
        self.row.try_get(column).map_err(|_| self.inconsistent(column))
    }

    /// A column of JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, Inconsistent> {
        let Json(value) = self.get::<Json<T>>(column)?;
        Ok(value)
    }

    /// A column of text that names a value of the domain.
    pub(crate) fn named<T>(&self, column: &'static str, find: fn(&str) -> Option<T>) -> Result<T, Inconsistent> {
        find(self.get::<&str>(column)?).ok_or_else(|| self.inconsistent(column))
    }

    /// The same, where NULL is possible.
    pub(crate) fn named_or_null<T>(
        &self,
        column: &'static str,
        find: fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Inconsistent> {
        self.get::<Option<&str>>(column)?.map(|name| find(name).ok_or_else(|| self.inconsistent(column))).transpose()
    }

    /// A column that must not be NULL in the state that the row is in.
    pub(crate) fn required<T: FromSql<'a>>(&self, column: &'static str) -> Result<T, Inconsistent> {
        self.get::<Option<T>>(column)?.ok_or_else(|| self.inconsistent(column))
    }

    /// The error that names `column`.
    pub(crate) const fn inconsistent(&self, column: &'static str) -> Inconsistent {
        Inconsistent { table: self.table, column }
    }
}
