//! One adapter per scanner tool: typed parameters become command lines, recorded output becomes observations.
//! Pure: it starts no process, opens no socket and reads no clock.

mod aim;
mod discovery;
mod format;
mod grepable;
mod headers;
mod import;
mod json;
mod lossy;
mod open_port;
mod page;
mod parameters;
mod paths;
pub mod rules;
pub mod sample;
mod simulate;
mod site;
mod spec;
mod ssh;
mod table;
mod tally;
#[cfg(test)]
mod testing;
mod text;
mod tls;
mod tool;
mod tools;
mod typed;
mod weakness;
mod xml;

pub use discovery::{DISCOVERY, NameLine};
pub use format::{Context, Format, HEAD_BYTES, Head, blank, formats, parsed_blank, recognize, strange};
pub use import::is_nameless;
pub use open_port::{OpenPort, Speaks, open_port};
pub use parameters::{Parameters, ParamsError};
pub use simulate::{SIMULATOR, SimulatedEnd, Simulation};
pub use spec::{Asked, ScanSpec, UNKNOWN_TOOL};
pub use tool::{Appetite, FanOut, Parsed, Rate, TaskShape, Tool, split_by_family};
pub use tools::{ALL, IMPORTS, ImportOnly, find, offered, page};
