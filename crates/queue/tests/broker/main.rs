//! The queue crate against a real broker: the one of `AMQP_URL` in a namespace per test, and a private one that is killed.

mod declare;
mod give_back;
mod publish;
mod restart;
mod stage;
mod take;
