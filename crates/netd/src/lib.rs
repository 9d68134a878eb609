//! The network of a sandboxed run: who may be reached from it, and nobody else. The privileged helper that connects
//! network namespaces (level L0), the client that a worker asks it with, and the packet filter that a worker puts into a
//! namespace of its own (level L1). Knows no tool and no scan, and must never take anything from a client but
//! addresses, ports, a time to live and a mode.

mod client;
mod confine;
mod door;
mod error;
mod grant;
mod helper;
mod host;
mod link;
mod namespace;
mod netlink;
mod nft;
mod node;
mod policy;
mod router;
mod session;
mod settings;
mod slot;
mod user_network;
mod wire;

pub use client::{Lease, NetdClient, Reservation, Wire};
pub use confine::{Confined, Confinement, Gateway, USER_GATEWAY, USER_GATEWAY6, USER_NETWORK, USER_NETWORK6};
pub use error::NetdError;
pub use grant::{Forward, Grant, Granted, Mode, Status};
pub use helper::{ServeError, serve};
pub use settings::NetdSettings;
pub use user_network::address_user_network;
