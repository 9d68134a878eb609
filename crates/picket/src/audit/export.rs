//! An organization's log as JSON lines: each row as it is stored, so that the hashes can be computed anew from the file.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
};

use jiff::Timestamp;
use picket_domain::{AuditHash, AuditRow, OrganizationId};
use picket_store::{Db, audit::read};
use serde::{Deserialize, Serialize};

use super::end;
use crate::CommandError;

/// Rows that are read at once.
const PAGE: i64 = 500;
/// The longest line: an entry is made of one request's body and what it changed.
const LONGEST_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// One row with whose it is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportedRow {
    organization: OrganizationId,
    sequence: i64,
    at: Timestamp,
    entry: String,
    hash: AuditHash,
}

/// Prints every row up to the head of this moment, oldest first.
pub(super) async fn run(db: &Db, organization: OrganizationId) -> Result<(), CommandError> {
    let io = |source| CommandError::Io { what: "cannot print the log".to_owned(), source };
    let head = end(db, organization).await?;
    let to = head.last.max(head.point.sequence);
    let (mut out, mut after) = (std::io::stdout().lock(), 0);
    loop {
        let page =
            db.operate("export_audit_log", async |tx| read::rows(tx, organization, after, to, PAGE).await).await?;
        let Some(last) = page.last() else { return out.flush().map_err(io) };
        after = last.sequence;
        for row in page {
            let AuditRow { sequence, at, entry, hash } = row;
            let line = serde_json::to_string(&ExportedRow { organization, sequence, at, entry, hash })?;
            writeln!(out, "{line}").map_err(io)?;
        }
    }
}

/// An exported log, row by row; holds one line at a time.
pub(super) struct ExportedLog<'a> {
    path: &'a Path,
    reader: BufReader<File>,
}

impl<'a> ExportedLog<'a> {
    /// Opens the file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn open(path: &'a Path) -> Result<Self, CommandError> {
        let io = |source| CommandError::Io { what: format!("cannot read {}", path.display()), source };
        Ok(Self { path, reader: BufReader::new(File::open(path).map_err(io)?) })
    }

    /// The next row, and whose it is.
    ///
    /// # Errors
    /// When the file cannot be read, or the line is no row.
    pub(super) fn next(&mut self) -> Result<Option<(OrganizationId, AuditRow)>, CommandError> {
        let io = |source| CommandError::Io { what: format!("cannot read {}", self.path.display()), source };
        let mut line = Vec::new();
        let read = self.reader.by_ref().take(LONGEST_LINE_BYTES).read_until(b'\n', &mut line).map_err(io)?;
        if read == 0 {
            return Ok(None);
        }
        let expected = || CommandError::File { path: self.path.to_owned(), expected: "lines of `picket audit export`" };
        let row: ExportedRow = serde_json::from_slice(&line).map_err(|_| expected())?;
        let ExportedRow { organization, sequence, at, entry, hash } = row;
        Ok(Some((organization, AuditRow { sequence, at, entry, hash })))
    }
}
