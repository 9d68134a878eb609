//! The dispatcher: brings events to webhooks, and letters to the mail server.
//!
//! ```text
//! event ──message or sweep──▶ one delivery row per webhook that hears of it ──claim──▶ signed POST ──▶ attempt log
//!                                                  ▲                                      │
//!                                                  └──────────── retry, on schedule ──────┘
//! ```
//! - A delivery exists before it is sent, made in one transaction with the mark that the event was fanned out; its bytes
//!   are fixed then. A lost message costs time, not an event: the sweep finds what has no deliveries.
//! - A send happens outside of any transaction, under a lease that is longer than a call may take. What a dispatcher held
//!   when it died is taken back and sent again: at least once, never not at all, and `webhook-id` tells a receiver.
//! - Both halves may run in any number of processes. Who makes and who sends is decided by rows in Postgres.
//! - Letters wait in an outbox of their own and are sent in the same way, under leases (`mail`).
//! - Receivers are customers' and hostile: the address guard, the timeouts and the limits are `picket-outbound`'s.

mod attempt;
mod error;
mod fan_out;
mod mail;
mod payload;
mod role;
mod send;
mod settings;
mod signature;
mod under_way;

pub use error::DispatchError;
pub use mail::{Mailer, MailerError, SmtpSettings, SmtpTls};
pub use payload::{LARGEST_BODY_BYTES, PayloadError, body};
pub use role::{Parts, run};
pub use settings::DispatcherSettings;
pub use signature::{headers, sign};
