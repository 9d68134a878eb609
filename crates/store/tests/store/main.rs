//! The store against a real Postgres; each test has a database of its own.

mod deliveries;
mod events;
mod leases;
#[cfg(test)]
mod reports;
mod scenario;
mod states;
mod tenancy;
