//! The only crate that speaks AMQP. Messages are hints: they carry ids, the truth is in Postgres, and a message may come
//! twice, late or never. So nothing here decides anything; it moves bytes, and says honestly what was confirmed.
//!
//! The broker keeps no delay, no priority and no fairness for us: those are the steward's, in one statement of SQL.

mod broker;
mod consumer;
mod envelope;
mod error;
mod line;
mod publisher;
pub mod topology;

pub use broker::{Broker, BrokerSettings};
pub use consumer::{Consumer, Delivery};
pub use envelope::{Envelope, EnvelopeError};
pub use error::QueueError;
pub use publisher::{Message, Publisher};
