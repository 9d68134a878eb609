//! The store against a real Postgres; each test has a database of its own.

#[cfg(test)]
mod admission;
mod audit;
#[cfg(test)]
mod closed;
#[cfg(test)]
mod control;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod deliveries;
#[cfg(test)]
mod durations;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod events;
#[cfg(test)]
mod expired;
#[cfg(test)]
mod fairness;
#[cfg(test)]
mod found;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod grounds;
#[cfg(test)]
mod growth;
#[cfg(test)]
mod held;
#[cfg(test)]
mod hours;
#[cfg(test)]
mod leases;
#[cfg(test)]
mod output;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod polite;
#[cfg(test)]
mod quotas;
#[cfg(test)]
mod races;
#[cfg(test)]
mod repeated;
#[cfg(test)]
mod replays;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod scenario;
#[cfg(test)]
mod sealed;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod states;
#[cfg(test)]
mod tenancy;
#[cfg(test)]
mod tls;
mod together;
#[cfg(test)]
mod transactions;
#[cfg(test)]
mod views;
