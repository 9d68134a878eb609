//! CSV that tools export, row by row. No row is larger than 4 MiB, whatever the input is.

use std::{
    cell::Cell,
    io::{self, BufRead, Read},
};

use csv::{ErrorKind, ReaderBuilder, StringRecord};

const MAX_ROW_BYTES: usize = 4 << 20;
/// What the end of a cell counts for beside its byte: where it ends is kept for each, however little is in it.
const CELL_BYTES: usize = 16;

/// One row under the names of the first.
pub(crate) struct Row<'r> {
    head: &'r [String],
    cells: &'r StringRecord,
}

impl Row<'_> {
    /// The cell under that name (in lower case), empty when there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        let at = self.head.iter().position(|column| column == name);
        at.and_then(|at| self.cells.get(at)).unwrap_or_default().trim()
    }
}

/// Reads all rows of a table that has the column `needed`. A row that cannot be understood is left out and said at the end. The error says in words what is wrong with the file.
pub(crate) fn rows(input: &mut dyn BufRead, needed: &str, each: &mut dyn FnMut(&Row<'_>)) -> Result<(), &'static str> {
    read(input, needed, None, each)
}

/// As [`rows`], for tables in which a backslash stands before a quote inside of quotes.
pub(crate) fn escaped(
    input: &mut dyn BufRead,
    needed: &str,
    each: &mut dyn FnMut(&Row<'_>),
) -> Result<(), &'static str> {
    read(input, needed, Some(b'\\'), each)
}

fn read(
    input: &mut dyn BufRead,
    needed: &str,
    escape: Option<u8>,
    each: &mut dyn FnMut(&Row<'_>),
) -> Result<(), &'static str> {
    let state = State {
        left: Cell::new(MAX_ROW_BYTES),
        last: Cell::new(b'\n'),
        is_quoted: Cell::new(false),
        is_escaped: Cell::new(false),
        escape,
    };
    let mut builder = ReaderBuilder::new();
    builder.flexible(true).double_quote(escape.is_none()).escape(escape);
    let mut reader = builder.from_reader(Bounded { inner: input, state: &state });
    let names = reader.headers().map_err(|error| fault(&error))?;
    let head: Vec<String> = names.iter().map(|name| name.trim_matches(['\u{feff}', ' ']).to_lowercase()).collect();
    if !head.iter().any(|column| column == needed) {
        return Err("the output does not begin with the names of its columns");
    }
    let mut bad = None;
    let mut cells = StringRecord::new();
    loop {
        state.left.set(MAX_ROW_BYTES);
        match reader.read_record(&mut cells) {
            Ok(false) => break,
            Ok(true) if cells.len() == head.len() => each(&Row { head: &head, cells: &cells }),
            Ok(true) => bad = Some("the output holds a row with too few or too many cells"),
            Err(error) if matches!(error.kind(), ErrorKind::Utf8 { .. }) => bad = Some(fault(&error)),
            Err(error) => return Err(fault(&error)),
        }
    }
    match (state.is_quoted.get(), state.last.get()) {
        (true, _) => Err("the output breaks off inside a quoted cell"),
        (false, b'\n' | b'\r') => bad.map_or(Ok(()), Err),
        (false, _) => Err("the last line has no end"),
    }
}

fn fault(error: &csv::Error) -> &'static str {
    let kind = error.kind();
    if matches!(kind, ErrorKind::Io(_)) {
        "the output could not be read, or holds a row that is too large"
    } else if matches!(kind, ErrorKind::Utf8 { .. }) {
        "the output holds text that is not UTF-8"
    } else {
        "the output holds a row with too few or too many cells"
    }
}

/// What was read so far.
struct State {
    left: Cell<usize>,
    last: Cell<u8>,
    is_quoted: Cell<bool>,
    /// Whether the next byte means itself.
    is_escaped: Cell<bool>,
    escape: Option<u8>,
}

impl State {
    fn notice(&self, seen: &[u8]) {
        for byte in seen {
            if self.is_escaped.take() {
                continue;
            }
            self.is_escaped.set(Some(*byte) == self.escape && self.is_quoted.get());
            self.is_quoted.set(self.is_quoted.get() ^ (*byte == b'"'));
        }
        if let Some(last) = seen.last() {
            self.last.set(*last);
        }
    }
}

struct Bounded<'a> {
    inner: &'a mut dyn BufRead,
    state: &'a State,
}

impl Read for Bounded<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let state = self.state;
        if state.left.get() == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a row is too large"));
        }
        let count = self.inner.read(target)?;
        let seen = target.get(..count).unwrap_or_default();
        let cells = seen.iter().filter(|byte| **byte == b',').count();
        state.left.set(state.left.get().saturating_sub(count).saturating_sub(cells.saturating_mul(CELL_BYTES)));
        state.notice(seen);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Result<(), &'static str>, Vec<String>) {
        let mut seen = Vec::new();
        let end = rows(&mut text.as_bytes(), "a", &mut |row| seen.push(format!("{}|{}", row.get("a"), row.get("c"))));
        (end, seen)
    }

    #[test]
    fn rows_are_read_by_the_names_of_their_columns() {
        assert_eq!(read("\u{feff}A,b\n1,2\n\"x\ny\",3\n"), (Ok(()), vec!["1|".to_owned(), "x\ny|".to_owned()]));
    }

    #[test]
    fn a_bad_row_does_not_take_the_others_with_it() {
        let (end, seen) = read("a,c\n1,2\n3\n4,5,6\n7,8\n");
        assert!(end.is_err());
        assert_eq!(seen, ["1|2", "7|8"]);
        let mut seen = 0;
        let text = b"a,c\n1,\xff\n2,3\n";
        assert!(rows(&mut text.as_slice(), "a", &mut |_| seen += 1).is_err());
        assert_eq!(seen, 1);
    }

    #[test]
    fn what_is_cut_or_too_large_is_noticed() {
        for text in ["", "x,y\n", "a,b\n1,2", "a,b\n1,\"2\n", "a,b\n1\n", "a,b\n1,2,3\n"] {
            assert!(read(text).0.is_err(), "{text:?}");
        }
        assert!(read(&format!("a,b\n1,\"{}\"\n", "x\n".repeat(MAX_ROW_BYTES))).0.is_err());
    }
}
