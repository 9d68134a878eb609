//! JSON of tools, read while it comes: the elements of its long arrays one by one, lines one by one. Nothing is larger than
//! 4 MiB of text at a time and nothing is nested deeper than 128 (serde_json's own bound), whatever the input is.

use std::{
    cell::Cell,
    fmt,
    io::{self, BufRead, Read},
};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, error::Category};

/// Text of one element, of one line, and of everything around the elements.
const MAX_PIECE_BYTES: usize = 4 << 20;
/// What the values of one piece may take, in units of 32 bytes: a short text becomes many times its length in memory.
const MAX_PIECE_UNITS: usize = 1_600_000;
/// A value in its list or under its key, where lists grow by doubling.
const VALUE_UNITS: usize = 2;
/// The smallest memory of a list.
const LIST_UNITS: usize = 4;
/// The smallest node of a map has room for eleven keys with their values.
const MAP_UNITS: usize = 20;
/// A key and its text.
const KEY_UNITS: usize = 3;
/// What remains of a value that was handed on.
const WATCHED_BYTES: usize = 64;
/// How an element of any array is called in a path.
pub(crate) const EACH: &str = "[]";

/// Why reading stopped before the end.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the output is empty")]
    Empty,
    #[error("the output is not JSON")]
    Foreign,
    #[error("the output breaks off before its end")]
    BrokeOff,
    #[error("the output is not well-formed JSON at line {line}, column {column}")]
    Syntax { line: usize, column: usize },
    #[error("the output could not be read, or holds a piece of more than 4 MiB")]
    Unreadable,
    #[error("the output holds a piece of too many values")]
    Crowded,
    #[error("the output goes on after its end")]
    Trailing,
}

/// Reads one document. Each element of an array whose path is among `arrays` goes to `each` with the number of that path, as
/// soon as it was read; the rest comes back as a value in which those arrays are empty. A path is the keys from the root, with
/// [`EACH`] for the elements of arrays between: `["runs", EACH, "results"]`; the empty path is the root itself.
pub(crate) fn stream(
    input: &mut dyn BufRead,
    arrays: &[&[&str]],
    each: &mut dyn FnMut(usize, Value),
) -> Result<Value, Fault> {
    walk(input, arrays, each, false)
}

fn walk(
    input: &mut dyn BufRead,
    arrays: &[&[&str]],
    each: &mut dyn FnMut(usize, Value),
    is_watching: bool,
) -> Result<Value, Fault> {
    let left = Cell::new(MAX_PIECE_BYTES);
    skip_mark(input).map_err(|_| Fault::Unreadable)?;
    let mut reader = serde_json::Deserializer::from_reader(Bounded { inner: input, left: &left });
    let (mut path, units) = (Vec::new(), Cell::new(MAX_PIECE_UNITS));
    let walk = Walk { arrays, path: &mut path, each, left: &left, units: &units, is_watching };
    finish(&mut reader, walk)
}

/// One value that is at hand, such as a line.
pub(crate) fn value(text: &[u8]) -> Result<Value, Fault> {
    let (left, units) = (Cell::new(text.len()), Cell::new(MAX_PIECE_UNITS));
    let mut reader = serde_json::Deserializer::from_slice(text);
    finish(&mut reader, Walk::whole(&mut Vec::new(), &mut |_, _| {}, &left, &units))
}

fn finish<'de, R: serde_json::de::Read<'de>>(
    reader: &mut serde_json::Deserializer<R>,
    walk: Walk<'_>,
) -> Result<Value, Fault> {
    let units = walk.units;
    let rest = walk.deserialize(&mut *reader);
    let rest = rest.map_err(|error| if units.get() == 0 { Fault::Crowded } else { fault(&error) })?;
    reader.end().map(|()| rest).map_err(|error| match error.classify() {
        Category::Io => Fault::Unreadable,
        Category::Syntax | Category::Data | Category::Eof => Fault::Trailing,
    })
}

/// As [`stream`], but a path may also name what is no array: once such a value has been read, what is left of it goes to
/// `each` (a scalar as it is, an object without the parts that went before).
pub(crate) fn watch(
    input: &mut dyn BufRead,
    paths: &[&[&str]],
    each: &mut dyn FnMut(usize, Value),
) -> Result<Value, Fault> {
    walk(input, paths, each, true)
}

/// Calls `each` with every line that is not blank. Returns whether lines were left out because they are longer than a piece
/// may be, and whether the last line has no end.
pub(crate) fn lines(input: &mut dyn BufRead, each: &mut dyn FnMut(&[u8])) -> Result<Lines, Fault> {
    let mut lines = Lines::default();
    let mut line = Vec::new();
    skip_mark(input).map_err(|_| Fault::Unreadable)?;
    loop {
        line.clear();
        let limit = u64::try_from(MAX_PIECE_BYTES).unwrap_or(u64::MAX);
        let read = (&mut *input).take(limit).read_until(b'\n', &mut line).map_err(|_| Fault::Unreadable)?;
        if read == 0 {
            return Ok(lines);
        }
        if line.last() != Some(&b'\n') && read == MAX_PIECE_BYTES {
            lines.left_out = lines.left_out.saturating_add(1);
            skip_line(input)?;
            continue;
        }
        lines.is_cut = line.last() != Some(&b'\n');
        let text = line.trim_ascii();
        if !text.is_empty() {
            each(text);
        }
    }
}

/// What [`lines`] noticed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    /// Lines that were too long.
    pub(crate) left_out: u64,
    /// Whether the last line does not end in a line feed.
    pub(crate) is_cut: bool,
}

/// The text at `key`, empty when there is none.
pub(crate) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The elements of the array at `key`, none when there is none.
pub(crate) fn items<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A number at `key`, also one that is written as text.
pub(crate) fn number(value: &Value, key: &str) -> Option<f64> {
    let value = value.get(key)?;
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|number| number.is_finite())
}

/// A port at `key`, also one that is written as text; 0 is none.
pub(crate) fn port(value: &Value, key: &str) -> Option<u16> {
    let value = value.get(key)?;
    let port = value.as_u64().and_then(|port| u16::try_from(port).ok());
    port.or_else(|| value.as_str()?.trim().parse().ok()).filter(|port| *port != 0)
}

fn fault(error: &serde_json::Error) -> Fault {
    match error.classify() {
        Category::Io => Fault::Unreadable,
        Category::Eof if error.line() <= 1 && error.column() == 0 => Fault::Empty,
        Category::Eof => Fault::BrokeOff,
        Category::Syntax | Category::Data if error.line() <= 1 && error.column() <= 1 => Fault::Foreign,
        Category::Syntax | Category::Data => Fault::Syntax { line: error.line(), column: error.column() },
    }
}

/// Passes over the byte order mark that editors put before the first letter of a file.
pub(crate) fn skip_mark(input: &mut dyn BufRead) -> io::Result<()> {
    if input.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        input.consume(3);
    }
    Ok(())
}

fn skip_line(input: &mut dyn BufRead) -> Result<(), Fault> {
    loop {
        let available = input.fill_buf().map_err(|_| Fault::Unreadable)?;
        if available.is_empty() {
            return Ok(());
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let count = end.map_or(available.len(), |at| at.saturating_add(1));
        input.consume(count);
        if end.is_some() {
            return Ok(());
        }
    }
}

/// A reader that fails once `left` bytes were read; whoever begins a new piece sets it again.
struct Bounded<'a> {
    inner: &'a mut dyn BufRead,
    left: &'a Cell<usize>,
}

impl Read for Bounded<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a piece is larger than 4 MiB"));
        }
        let count = self.inner.read(target)?;
        self.left.set(self.left.get().saturating_sub(count));
        Ok(count)
    }
}

/// Where we are in the document.
struct Walk<'w> {
    arrays: &'w [&'w [&'w str]],
    path: &'w mut Vec<String>,
    each: &'w mut dyn FnMut(usize, Value),
    left: &'w Cell<usize>,
    /// What the piece may still take.
    units: &'w Cell<usize>,
    is_watching: bool,
}

impl<'w> Walk<'w> {
    /// Of a value that is kept whole.
    fn whole(
        path: &'w mut Vec<String>,
        each: &'w mut dyn FnMut(usize, Value),
        left: &'w Cell<usize>,
        units: &'w Cell<usize>,
    ) -> Self {
        Self { arrays: &[], path, each, left, units, is_watching: false }
    }

    fn reborrow(&mut self) -> Walk<'_> {
        Walk { path: self.path, each: self.each, ..*self }
    }

    /// Takes from what the piece may still hold; none is left once it was too little.
    fn charge<E: serde::de::Error>(&self, units: usize) -> Result<(), E> {
        let left = self.units.get().checked_sub(units);
        self.units.set(left.unwrap_or_default());
        left.map(drop).ok_or_else(|| E::custom("too many values"))
    }

    fn wanted(&self) -> Option<usize> {
        let is_here =
            |array: &&[&str]| array.len() == self.path.len() && array.iter().zip(&*self.path).all(|(a, b)| a == b);
        self.arrays.iter().position(is_here)
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<Value, D::Error> {
        let watched = if self.is_watching { self.wanted() } else { None };
        let left = self.left.get();
        self.charge(VALUE_UNITS)?;
        let units = self.units.get();
        let value = deserializer.deserialize_any(self.reborrow())?;
        match watched {
            Some(path) if !value.is_array() => {
                (self.each)(path, value);
                // Its text is not kept, its place among the others is.
                self.left.set(left.saturating_sub(WATCHED_BYTES));
                self.units.set(units);
                Ok(Value::Null)
            }
            _ => Ok(value),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let Some(wanted) = self.wanted() else {
            self.charge(LIST_UNITS)?;
            self.path.push(EACH.to_owned());
            let mut values = Vec::new();
            while let Some(value) = access.next_element_seed(self.reborrow())? {
                values.push(value);
            }
            self.path.pop();
            return Ok(Value::Array(values));
        };
        let around = (self.left.replace(MAX_PIECE_BYTES), self.units.replace(MAX_PIECE_UNITS));
        let (mut path, mut nothing) = (Vec::new(), |_: usize, _: Value| {});
        while let Some(value) = access.next_element_seed(Walk::whole(&mut path, &mut nothing, self.left, self.units))? {
            (self.each)(wanted, value);
            self.left.set(MAX_PIECE_BYTES);
            self.units.set(MAX_PIECE_UNITS);
        }
        self.left.set(around.0);
        self.units.set(around.1);
        Ok(Value::Array(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        self.charge(MAP_UNITS)?;
        while let Some(key) = access.next_key::<String>()? {
            self.charge(KEY_UNITS)?;
            self.path.push(key);
            let value = access.next_value_seed(self.reborrow())?;
            let key = self.path.pop().ok_or_else(|| A::Error::custom("a path ended too early"))?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests;
