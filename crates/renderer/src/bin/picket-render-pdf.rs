//! The child process alone: a model on standard input, a PDF on standard output. For tests, and for images that keep
//! typst out of every other process.

use std::process::ExitCode;

fn main() -> ExitCode {
    picket_renderer::child_main()
}
