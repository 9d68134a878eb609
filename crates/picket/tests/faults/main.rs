//! What happens when processes die, messages lie, and people change their minds: real processes of `picket`, real tools
//! in real sandboxes, a database and a broker namespace per test.

mod messages;
mod process;
mod relay;
mod service;
mod stage;
mod stop;
mod worker_killed;
