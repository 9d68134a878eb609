//! What happens when processes die, messages lie, and people change their minds: real processes of `picket`, real tools
//! in real sandboxes, a database and a broker namespace per test.

#[cfg(test)]
mod cable;
#[cfg(test)]
mod checker;
#[cfg(test)]
mod clocks;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod drained;
#[cfg(test)]
mod dropped;
#[cfg(test)]
mod every_tool;
#[cfg(test)]
mod few_slots;
#[cfg(test)]
#[path = "../../../netd/tests/netd/flush.rs"]
mod flush;
#[cfg(test)]
mod growth;
#[cfg(test)]
mod helper;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod leavings;
#[cfg(test)]
mod leftovers;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod loops;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod platform;
#[cfg(test)]
mod private;
#[cfg(test)]
mod process;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod races;
#[cfg(test)]
mod random;
#[cfg(test)]
mod redis;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod restarts;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod service;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod sink;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod stop;
#[cfg(test)]
mod twins;
#[cfg(test)]
mod unproven;
#[cfg(test)]
mod worker_killed;
