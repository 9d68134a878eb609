//! The two published references as tests: every example of theirs is sent to the real gateway, word for word, and every
//! printed field of the answer is compared with its type. To add an example: its text in `printed.rs`, and a test that
//! sends it.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod client;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod life;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod printed;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod stack;
#[cfg(test)]
mod v1;
#[cfg(test)]
mod v2;
#[cfg(test)]
mod webhooks;
