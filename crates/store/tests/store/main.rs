//! The store against a real Postgres; each test has a database of its own.

mod deliveries;
mod errors;
mod events;
mod leases;
mod quotas;
#[cfg(test)]
mod reports;
mod scenario;
mod states;
mod tenancy;
