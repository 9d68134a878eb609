//! For tests alone: a database per test from a migrated template, a broker namespace per test, and scenarios that more
//! than one crate's tests need. Nothing a test makes is visible to another test.

mod broker;
mod database;
mod environment;
pub mod seed;

pub use broker::Namespace;
pub use database::Database;
pub use environment::{optional, required, shared};
