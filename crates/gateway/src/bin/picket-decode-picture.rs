//! The child process alone: a stranger's picture on standard input, one of ours on standard output. For tests, and for
//! images that keep decoders out of every other process.

use std::process::ExitCode;

fn main() -> ExitCode {
    picket_gateway::decode_picture_main()
}
