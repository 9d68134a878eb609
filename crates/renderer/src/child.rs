//! The child process that typesets. It limits itself before it reads a report: address space, processor time, files, and the
//! calls of the kernel that it needs, none of which reaches a network. It gets a header line and the model on standard input, writes the PDF to standard output and one line of JSON, its
//! note, to standard error. It has no environment, an empty working directory, and needs no file but the fonts.

use std::{
    io::{self, BufRead, Read, Write},
    path::PathBuf,
    process::ExitCode,
};

use picket_kit::{Calls, ConfineError, Confinement};
use serde::{Deserialize, Serialize};

use crate::{
    ReportModel,
    pdf::{Fonts, typeset},
};

/// The longest header line.
const MAX_HEADER_BYTES: u64 = 64 * 1_024;
/// The largest model; the parent keeps below.
const MAX_MODEL_BYTES: u64 = 512 * 1_024 * 1_024;
/// Open files: the three standard ones and a font at a time.
const MAX_OPEN_FILES: u64 = 32;

/// The first line of the child's input.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The address space.
    pub(crate) memory_limit_bytes: u64,
    /// Processor time, in case the parent dies and nobody watches the clock.
    pub(crate) cpu_limit_seconds: u64,
    /// The folder of fonts.
    pub(crate) fonts_dir: Option<PathBuf>,
}

/// The last line that the child writes to standard error.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    /// How many pages the PDF has.
    pub(crate) pages: usize,
    /// Whether it conforms to PDF/UA-1.
    pub(crate) accessible: bool,
    /// What the report's record should say.
    pub(crate) warnings: Vec<String>,
}

/// The whole life of the child process. Call it first in `main`, before a runtime or a thread is started.
#[must_use]
pub fn child_main() -> ExitCode {
    match run(&mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(note) => {
            let note = serde_json::to_string(&note).unwrap_or_default();
            // Nobody is left to tell when this fails.
            let _ = writeln!(io::stderr(), "{note}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(input: &mut impl BufRead, output: &mut impl Write) -> Result<Note, String> {
    let mut header = String::new();
    input.by_ref().take(MAX_HEADER_BYTES).read_line(&mut header).map_err(|error| error.to_string())?;
    let header: Header = serde_json::from_str(&header).map_err(|error| format!("expected a header: {error}"))?;
    limit(&header).map_err(|error| format!("expected to limit itself: {error}"))?;
    let model = input.take(MAX_MODEL_BYTES);
    let model: ReportModel = serde_json::from_reader(model).map_err(|error| format!("expected a report: {error}"))?;
    let typeset = typeset(&model, &Fonts::load(header.fonts_dir.as_deref()))?;
    output.write_all(&typeset.content).and_then(|()| output.flush()).map_err(|error| error.to_string())?;
    Ok(Note { pages: typeset.pages, accessible: typeset.accessible, warnings: typeset.warnings })
}

fn limit(header: &Header) -> Result<(), ConfineError> {
    Confinement {
        memory_bytes: header.memory_limit_bytes,
        cpu_seconds: header.cpu_limit_seconds,
        open_files: MAX_OPEN_FILES,
        calls: Calls::ReadFiles,
    }
    .enter()
}
