//! The network of a sandboxed run: who may be reached from it, and nobody else. The privileged helper that connects
//! network namespaces (level L0), the client that a worker asks it with, and the packet filter that a worker puts into a
//! namespace of its own (level L1). Knows no tool and no scan, and must never take anything from a client but a slot,
//! addresses, ports, a time to live and a mode.

mod client;
mod error;
mod grant;

pub use client::{Lease, NetdClient};
pub use error::NetdError;
pub use grant::{Forward, Grant, Granted, Mode, Status};
