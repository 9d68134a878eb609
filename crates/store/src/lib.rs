//! The only crate that speaks SQL. A change of state and its events are stored in one transaction, and every transaction
//! names its tenant, or is one of the few that the operator's loops run.
//! No transaction may span a network call: nothing in here talks to anything but Postgres.
//!
//! To add a table: a migration that calls `picket_isolate`, a module here with its statements in `statements!`, and the
//! module's name in `statements.rs`.

pub mod accounts;
pub mod administration;
pub mod api_keys;
pub mod artifacts;
pub mod audit;
pub mod authorizations;
pub mod avatars;
mod connection;
mod db;
pub mod dead_letters;
pub mod deliveries;
pub mod durations;
pub mod email_tokens;
mod error;
pub mod events;
pub mod exclusions;
pub mod expired;
pub mod findings;
pub mod grounds;
pub mod halts;
pub mod idempotency;
pub mod identities;
pub mod invitations;
mod lanes;
pub mod mails;
pub mod members;
pub mod mfa;
mod migrate;
mod notice;
mod open;
pub mod organizations;
pub mod orphans;
pub mod output;
pub mod people;
pub mod platform;
mod pools;
pub mod profiles;
pub mod proofs;
pub mod quota;
pub mod ranges;
pub mod reports;
pub mod retention;
pub mod rights;
mod row;
pub mod scans;
pub mod schedules;
pub mod sealed;
pub mod sessions;
mod statements;
pub mod targets;
pub mod tasks;
mod tls;
mod tx;
pub mod webhooks;
pub mod windows;
pub mod workers;

pub use db::{Db, DbSettings};
pub use error::{Inconsistent, StoreError};
pub use migrate::{MigrateError, migrate, migrate_secured, schema_fingerprint};
pub use notice::{Notice, Notices};
pub use tls::{DbTls, DbTlsError};
pub use tx::{Tx, View};
