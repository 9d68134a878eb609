//! For tests alone: a database per test from a migrated template, a broker namespace per test, and scenarios that more
//! than one crate's tests need. Nothing a test makes is visible to another test.

mod broker;
mod database;
mod dns;
mod environment;
pub mod seed;
mod site;

pub use broker::Namespace;
pub use database::Database;
pub use dns::Dns;
pub use environment::{optional, required, shared};
pub use site::Site;
