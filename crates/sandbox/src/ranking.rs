//! The ports that a tool takes from a list in its own root, most often open first: what of the host a stand-in may open to
//! a run that names no ports itself. The list is the tool's, read where it is installed; an unreadable one opens nothing.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use picket_domain::TopPorts;

use crate::SandboxError;

/// The longest list that is read; nmap's has 1 MiB.
const MAX_BYTES: u64 = 8 << 20;

/// The ports, as the tool itself chooses them.
///
/// # Errors
/// [`SandboxError::IncompleteRoot`] when the root has no such list.
pub(crate) fn ports(tool: &str, root: &Path, top: &TopPorts) -> Result<Vec<(u16, u16)>, SandboxError> {
    let missing = || SandboxError::IncompleteRoot { tool: tool.into(), missing: top.ranking.into() };
    let path = root.join(top.ranking.trim_start_matches('/'));
    // Not followed: a link in the root means something else outside of it.
    if !fs::symlink_metadata(&path).is_ok_and(|entry| entry.is_file()) {
        return Err(missing());
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
    let found = choose(&String::from_utf8_lossy(&bytes), top);
    if read.is_err() || found.is_empty() { Err(missing()) } else { Ok(found) }
}

/// Lines of a name, `PORT/PROTOCOL` and how often it is open, from 0 to 1. Among equals the lower port comes first.
fn choose(list: &str, top: &TopPorts) -> Vec<(u16, u16)> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (_, place, often) = (words.next()?, words.next()?, words.next()?);
        let (port, protocol) = place.split_once('/')?;
        let often: f64 = often.parse().ok()?;
        (protocol == top.protocol && often.is_finite()).then_some((often, port.parse::<u16>().ok()?))
    };
    let mut entries: Vec<(f64, u16)> = list.lines().filter(|line| !line.starts_with('#')).filter_map(entry).collect();
    entries.sort_by(|(left, low), (right, high)| right.total_cmp(left).then(low.cmp(high)));
    entries.into_iter().take(usize::from(top.count)).map(|(_, port)| (port, port)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str =
        "# a comment\na 10/tcp 0.1\nb 10/udp 0.9\nc 30/tcp 0.5 # more\nd 20/tcp 0.5\nwrong\ne x/tcp 1\nf 9/tcp nan\n";

    fn top(count: u16, protocol: &'static str) -> TopPorts {
        TopPorts { count, protocol, ranking: "/usr/share/list" }
    }

    #[test]
    fn the_ports_most_often_open_come_first_and_equals_by_number() {
        assert_eq!(choose(LIST, &top(2, "tcp")), [(20, 20), (30, 30)]);
        assert_eq!(choose(LIST, &top(9, "tcp")), [(20, 20), (30, 30), (10, 10)]);
        assert_eq!(choose(LIST, &top(9, "udp")), [(10, 10)]);
    }

    #[test]
    fn a_root_without_the_list_opens_no_port() {
        let root = tempfile::tempdir().unwrap();
        assert!(ports("tool", root.path(), &top(9, "tcp")).is_err());
        fs::create_dir_all(root.path().join("usr/share")).unwrap();
        std::os::unix::fs::symlink("/usr/share/nmap/nmap-services", root.path().join("usr/share/list")).unwrap();
        assert!(ports("tool", root.path(), &top(9, "tcp")).is_err(), "a link");
        fs::remove_file(root.path().join("usr/share/list")).unwrap();
        fs::write(root.path().join("usr/share/list"), "nothing of use").unwrap();
        assert!(ports("tool", root.path(), &top(9, "tcp")).is_err(), "an empty one");
        fs::write(root.path().join("usr/share/list"), LIST).unwrap();
        assert_eq!(ports("tool", root.path(), &top(1, "tcp")).unwrap(), [(20, 20)]);
    }
}
