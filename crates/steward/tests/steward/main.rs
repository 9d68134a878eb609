//! The steward's loops against a real Postgres and a real RabbitMQ, each twice at once.

#[cfg(test)]
mod artifacts;
#[cfg(test)]
mod courier;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod excluded;
#[cfg(test)]
mod halts;
#[cfg(test)]
mod loops;
#[cfg(test)]
mod orphans;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod stage;
