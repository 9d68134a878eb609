//! The dispatcher against a real Postgres, a real broker and real receivers on the loopback interface.
// `cfg(test)` is always true here; it tells clippy that the helpers beside the tests are tests as well.

#[cfg(test)]
mod faults;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod log;
#[cfg(test)]
mod mail;
#[cfg(test)]
mod mail_faults;
#[cfg(test)]
mod mail_server;
#[cfg(test)]
mod python;
#[cfg(test)]
mod receiver;
#[cfg(test)]
mod retries;
#[cfg(test)]
mod scan_news;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod standard_webhooks;
#[cfg(test)]
mod traces;
