//! The two published references as tests: every example of theirs is sent to the real gateway, word for word, and every
//! printed field of the answer is compared with its type. To add an example: its text in `printed.rs`, and a test that
//! sends it.

mod accounts;
mod client;
mod errors;
mod life;
mod limits;
mod paths;
mod printed;
mod reports;
mod stack;
mod v1;
mod v2;
mod webhooks;
