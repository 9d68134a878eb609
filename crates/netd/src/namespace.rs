//! Network namespaces: made, looked at, and entered by a thread that ends with what it does there. No thread that goes on
//! ever changes its namespace, so nobody can be in the wrong one.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    thread,
};

use rustix::{
    fs::{fstat, fstatfs},
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe},
};

/// `NSFS_MAGIC` of `linux/magic.h`: what descriptors of namespaces are kept on.
const NSFS: i64 = 0x6e73_6673;

/// What makes two descriptors the same namespace.
pub(crate) type Identity = (u64, u64);

/// Makes an empty namespace. It ends with the last descriptor and the last socket in it.
pub(crate) fn new_namespace() -> io::Result<OwnedFd> {
    let make = || {
        unshare_network()?;
        own()
    };
    thread::Builder::new().spawn(make)?.join().map_err(|_| io::Error::other("a thread broke"))?
}

#[expect(unsafe_code, reason = "rustix has no safe form that leaves descriptors alone")]
fn unshare_network() -> io::Result<()> {
    // SAFETY: with `NEWNET` alone the thread keeps its table of descriptors.
    Ok(unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?)
}

/// The namespace of the calling thread.
pub(crate) fn own() -> io::Result<OwnedFd> {
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}

/// Does something inside of a namespace.
pub(crate) fn inside<T: Send>(namespace: BorrowedFd<'_>, what: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let enter = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            what()
        };
        let entered = thread::Builder::new().spawn_scoped(scope, enter)?;
        entered.join().map_err(|_| io::Error::other("a thread broke"))?
    })
}

/// Which namespace this is; `None` when it is something else, such as a file. That it is one of the network shows when it
/// is entered.
pub(crate) fn identity(fd: BorrowedFd<'_>) -> io::Result<Option<Identity>> {
    if fstatfs(fd)?.f_type != NSFS {
        return Ok(None);
    }
    let stat = fstat(fd)?;
    Ok(Some((stat.st_dev, stat.st_ino)))
}
