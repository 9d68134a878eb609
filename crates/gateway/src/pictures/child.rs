//! The child process that decodes. It locks itself in before it reads a byte: memory, processor time, and no call of the
//! kernel beyond reading its input and writing its answer. It gets a line with the media type and the file on standard
//! input, writes the drawn picture to standard output, or a word of why not to standard error.

use std::{
    io::{self, BufRead, Read, Write},
    process::ExitCode,
};

use picket_kit::{Calls, Confinement};

use super::{
    LONGEST_BYTES,
    draw::{Fault, draw},
    format,
};

/// The exit code of a child that could not lock itself in, and read nothing.
pub(super) const NOT_CONFINED: i32 = 3;
/// The longest first line.
const MAX_HEADER_BYTES: u64 = 64;
/// Decoding takes 128 MiB, turning the picture as much again; the rest is the program itself.
const CONFINEMENT: Confinement =
    Confinement { memory_bytes: 768 * 1024 * 1024, cpu_seconds: 10, open_files: 8, calls: Calls::Compute };

/// The whole life of the child process. Call it first in `main`, before a runtime or a thread is started.
#[must_use]
pub fn decode_picture_main() -> ExitCode {
    if let Err(error) = CONFINEMENT.enter() {
        // Nobody is left to tell when this fails.
        let _ = writeln!(io::stderr(), "{}", picket_domain::cause(&error));
        return ExitCode::from(u8::try_from(NOT_CONFINED).unwrap_or(u8::MAX));
    }
    match answer(&mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            let _ = writeln!(io::stderr(), "{}", fault.word());
            ExitCode::FAILURE
        }
    }
}

fn answer(input: &mut impl BufRead, output: &mut impl Write) -> Result<(), Fault> {
    let mut media_type = String::new();
    input.by_ref().take(MAX_HEADER_BYTES).read_line(&mut media_type).map_err(|_| Fault::Broken)?;
    let format = format(&media_type).ok_or(Fault::OtherType)?;
    let mut file = Vec::new();
    let limit = u64::try_from(LONGEST_BYTES).unwrap_or(u64::MAX);
    input.take(limit).read_to_end(&mut file).map_err(|_| Fault::Broken)?;
    let drawn = draw(format, &file)?;
    output.write_all(&drawn).and_then(|()| output.flush()).map_err(|_| Fault::Broken)
}
