//! `picket parse`: what a report of a scanner says, without any service. It reads no settings, opens no socket, and its memory
//! does not grow with the report: each finding is written as soon as it was read.

mod finding;
mod sarif;
mod table;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Cursor, Read, Write},
    path::Path,
};

use picket_domain::Observation;
use picket_scanners::{Context, Format, HEAD_BYTES, Head, Parsed, blank, formats, parsed_blank, recognize, strange};

use self::{finding::Lines, sarif::Sarif, table::Table};
use crate::{CommandError, ParseArguments, ParseFormat};

/// How findings are written.
trait Output {
    /// What comes before the first.
    fn begin(&mut self, writer: &mut dyn Write) -> io::Result<()>;
    fn finding(&mut self, writer: &mut dyn Write, observation: &Observation) -> io::Result<()>;
    /// What comes behind the last.
    fn end(&mut self, writer: &mut dyn Write, parsed: &Parsed) -> io::Result<()>;
}

/// Reads a report and writes what it says to standard output.
pub(crate) fn run(arguments: &ParseArguments) -> Result<(), CommandError> {
    let (head, is_whole, rest) = open(&arguments.file).map_err(|source| CommandError::Io {
        what: format!("{}: it cannot be read", arguments.file.display()),
        source,
    })?;
    let blank = arguments.tool.as_deref().filter(|_| is_whole).and_then(|tool| blank(tool, &head));
    let format = blank.map_or_else(|| choose(&Head::new(&head, is_whole), arguments.tool.as_deref()), Ok)?;
    let mut input = BufReader::with_capacity(HEAD_BYTES, Cursor::new(head).chain(rest));
    let mut output: Box<dyn Output> = match arguments.format {
        ParseFormat::Json => Box::new(Lines::new(format)),
        ParseFormat::Sarif => Box::new(Sarif::new(format)),
        ParseFormat::Table => Box::new(Table::new(format)),
    };
    let mut writer = BufWriter::new(io::stdout().lock());
    if blank.is_some() {
        return nothing(output.as_mut(), &mut writer).map_err(written);
    }
    let parsed = write(format, &mut input, output.as_mut(), &mut writer).map_err(written)?;
    if parsed.is_refused { Err(CommandError::Refused(parsed.reason)) } else { Ok(()) }
}

fn written(source: io::Error) -> CommandError {
    CommandError::Io { what: "the findings cannot be written".to_owned(), source }
}

/// A file's beginning, whether that is all of it, and the rest.
fn open(file: &Path) -> io::Result<(Vec<u8>, bool, Box<dyn BufRead>)> {
    let mut input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::with_capacity(HEAD_BYTES, File::open(file)?))
    };
    let mut head = Vec::new();
    let limit = u64::try_from(HEAD_BYTES).unwrap_or(u64::MAX);
    (&mut input).take(limit).read_to_end(&mut head)?;
    let is_whole = head.len() < HEAD_BYTES;
    Ok((head, is_whole, input))
}

/// The format by the content; a tool that is named must be the one that wrote it.
fn choose(head: &Head<'_>, tool: Option<&str>) -> Result<&'static dyn Format, CommandError> {
    let refused = |reason: String| CommandError::Refused(reason);
    let Some(tool) = tool else {
        return recognize(head).ok_or_else(|| refused(strange(head).to_owned()));
    };
    if !formats().any(|format| format.tool() == tool) {
        let mut known: Vec<_> = formats().map(Format::tool).collect();
        known.dedup();
        return Err(refused(format!("expected a tool of the catalogue: {}", known.join(", "))));
    }
    let own = formats().filter(|format| format.tool() == tool).find(|format| format.recognizes(head));
    own.ok_or_else(|| match recognize(head) {
        Some(other) => refused(format!("the file is a report of {}, not of {tool}", other.tool())),
        None => refused(strange(head).to_owned()),
    })
}

/// Of a report that says nothing, because its tool had nothing to say.
fn nothing(output: &mut dyn Output, writer: &mut dyn Write) -> io::Result<()> {
    output.begin(writer)?;
    output.end(writer, &parsed_blank())?;
    writer.flush()
}

/// Nothing is written of a file that turns out to be none before it has told of anything.
fn write(
    format: &dyn Format,
    input: &mut dyn BufRead,
    output: &mut dyn Output,
    writer: &mut dyn Write,
) -> io::Result<Parsed> {
    let (mut fault, mut is_begun) = (None, false);
    let parsed = format.parse(input, &Context::default(), &mut |observation| {
        if fault.is_none() {
            let begun = if is_begun { Ok(()) } else { output.begin(writer) };
            is_begun = true;
            fault = begun.and_then(|()| output.finding(writer, &observation)).err();
        }
    });
    if let Some(fault) = fault {
        return Err(fault);
    }
    let parsed = parsed.of_a_file();
    if parsed.is_refused && !is_begun {
        return Ok(parsed);
    }
    if !is_begun {
        output.begin(writer)?;
    }
    output.end(writer, &parsed)?;
    writer.flush()?;
    Ok(parsed)
}
