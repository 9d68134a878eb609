//! The gateway as its clients meet it: the real service on a port of its own, with a database of its own.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod addresses;
#[cfg(test)]
mod admin;
#[cfg(test)]
mod api_keys;
#[cfg(test)]
mod artifacts;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod authorization;
#[cfg(test)]
mod avatars;
mod canary;
#[cfg(test)]
mod control;
#[cfg(test)]
mod exclusions;
#[cfg(test)]
mod findings;
#[cfg(test)]
mod front;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod imports;
mod invitations;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod mfa;
mod oauth;
#[cfg(test)]
mod observability;
mod organization;
#[cfg(test)]
mod overtaken;
#[cfg(test)]
mod parameters;
#[cfg(test)]
mod passwords;
#[cfg(test)]
mod platform;
#[cfg(test)]
mod profiles;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod quotas;
mod registration;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod reports;
mod revocation;
#[cfg(test)]
mod scanned;
#[cfg(test)]
mod scans;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod simulator;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod targets;
mod team;
#[cfg(test)]
mod tenancy;
#[cfg(test)]
mod throttle;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod transport;
mod verification;
#[cfg(test)]
mod webhooks;
#[cfg(test)]
mod wide;
