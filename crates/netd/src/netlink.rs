//! Netlink, as far as links, addresses, routes and packet filters need it (`netlink(7)`, RFC 3549): attributes, messages,
//! and a socket that asks the kernel and waits for its answer. There is no kept library of a permissive licence for the
//! packet filter's half, and both halves share this. It must never take a length or a kind from anybody but the kernel.

mod message;
mod socket;

pub(crate) use message::{APPEND, Attributes, CREATE, DUMP, EXCLUSIVE, Message, NESTED, attribute};
pub(crate) use socket::Netlink;
