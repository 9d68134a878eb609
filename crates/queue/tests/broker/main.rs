//! The queue crate against a real broker: the one of `AMQP_URL` in a namespace per test, and a private one that is killed.

#[cfg(test)]
mod declare;
#[cfg(test)]
mod give_back;
#[cfg(test)]
mod private;
#[cfg(test)]
mod publish;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod take;
