//! The run's end of a user-mode network (level L1). The stack tells a run its IPv6 address only when it is asked with a packet
//! that the filter drops, so the worker says it instead. It must never name an address that the stack does not serve.

use std::{io, net::Ipv6Addr, os::fd::OwnedFd};

use crate::{NetdError, USER_GATEWAY6, link::Links};

/// The run's address in [`crate::USER_NETWORK6`]: the end of the one that it has in IPv4.
const RUN6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100);

/// Gives the interface `name` of a user-mode network its IPv6 address and the way out. `links` is a netlink socket of the
/// family `NETLINK_ROUTE` that was opened in the namespace by a process with `CAP_NET_ADMIN` there; the calling process must
/// own that user namespace, or be root. Blocks for some milliseconds, until the address can be used.
///
/// # Errors
/// [`NetdError::Kernel`], also where the kernel has no IPv6.
pub fn address_user_network(links: OwnedFd, name: &str) -> Result<(), NetdError> {
    address(links, name).map_err(|source| NetdError::Kernel { step: "give the run an IPv6 address", source })
}

fn address(links: OwnedFd, name: &str) -> io::Result<()> {
    let mut links = Links::from_socket(links)?;
    let index = links.index_of(name)?;
    links.add_address(index, RUN6.into(), 64)?;
    links.add_route(None, USER_GATEWAY6.into(), index)?;
    links.settle_address(RUN6)
}
