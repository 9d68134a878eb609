//! The store against a real Postgres; each test has a database of its own.

mod events;
mod leases;
mod scenario;
mod states;
mod tenancy;
