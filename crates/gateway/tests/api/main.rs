//! The gateway as its clients meet it: the real service on a port of its own, with a database of its own.

mod accounts;
mod api_keys;
mod authorization;
mod front;
mod harness;
mod hostile;
mod limits;
mod observability;
mod platform;
mod reports;
mod scans;
mod targets;
mod tls;
mod tools;
mod webhooks;
