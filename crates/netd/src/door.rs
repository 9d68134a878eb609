//! The helper's door: the folder of its socket, the lock beside it, and the socket. The helper is root and others may know
//! the folder, so it must never follow a link there, and never write where somebody else may put something.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, FileType, FlockOperation, Gid, Mode, OFlags, chmodat, chownat, flock, fstat, openat, unlinkat},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with},
    process::geteuid,
};

use crate::ServeError;

/// Clients that wait to be taken, at most.
const BACKLOG: i32 = 128;

/// The folder and the name of a socket, locked for the one helper that serves it.
#[derive(Debug)]
pub(crate) struct Door {
    folder: OwnedFd,
    name: OsString,
    _lock: OwnedFd,
}

impl Door {
    /// Takes the lock, which goes with the process. Everything afterwards happens in the very folder that was judged here.
    ///
    /// # Errors
    /// [`ServeError::Folder`] when others may write in the folder, [`ServeError::Running`], [`ServeError::Socket`].
    pub(crate) fn lock(socket: &Path) -> Result<Self, ServeError> {
        let failed = |error: Errno| ServeError::Socket(error.into());
        let name = socket.file_name().ok_or_else(|| failed(Errno::INVAL))?.to_owned();
        let parent = socket.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(CWD, parent, flags, Mode::empty()).map_err(failed)?;
        let stat = fstat(&folder).map_err(failed)?;
        let owned = stat.st_uid == 0 || stat.st_uid == geteuid().as_raw();
        if !owned || stat.st_mode & 0o022 != 0 {
            return Err(ServeError::Folder);
        }
        let lock = lock(&folder, &name)?;
        Ok(Self { folder, name, _lock: lock })
    }

    /// Listens. Nobody can connect before the socket has its mode and its group.
    pub(crate) fn listen(&self, gid: Option<u32>) -> io::Result<UnixListener> {
        match unlinkat(&self.folder, &self.name, AtFlags::empty()) {
            Err(error) if error != Errno::NOENT => return Err(error.into()),
            _ => {}
        }
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // There is no form of `bind` that takes the descriptor of a folder.
        let within = Path::new("/proc/self/fd").join(self.folder.as_raw_fd().to_string()).join(&self.name);
        bind(&socket, &SocketAddrUnix::new(within)?)?;
        chmodat(&self.folder, &self.name, Mode::from_raw_mode(0o660), AtFlags::empty())?;
        let group = gid.map(Gid::from_raw);
        chownat(&self.folder, &self.name, None, group, AtFlags::SYMLINK_NOFOLLOW)?;
        listen(&socket, BACKLOG)?;
        Ok(socket.into())
    }

    /// Removes the socket.
    pub(crate) fn close(&self) {
        let _gone = unlinkat(&self.folder, &self.name, AtFlags::empty());
    }
}

fn lock(folder: &OwnedFd, socket: &OsStr) -> Result<OwnedFd, ServeError> {
    let mut name = socket.to_owned();
    name.push(".lock");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let failed = |error: Errno| ServeError::Socket(error.into());
    let file = openat(folder, name, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    if FileType::from_raw_mode(fstat(&file).map_err(failed)?.st_mode) != FileType::RegularFile {
        return Err(failed(Errno::INVAL));
    }
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| ServeError::Running)?;
    Ok(file)
}
