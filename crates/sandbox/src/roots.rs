//! The read-only roots of tools: `<tools_root>/<tool>/`, and beside each its hash in `<tool>.hash`.
//! They are built elsewhere (`deploy/tools/`); this module only looks, and never writes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::SandboxError;

/// What every tool root must contain, because a read-only root gets no new mount point: five directories, and three
/// files that the sandbox covers with its own. Only runs with input files need `input`.
pub const MOUNT_POINTS: [&str; 8] =
    ["proc", "dev", "scratch", "tmp", "input", "etc/hosts", "etc/resolv.conf", "etc/nsswitch.conf"];

/// The folder that holds the roots.
#[derive(Debug)]
pub(crate) struct Roots(PathBuf);

impl Roots {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The root of `tool`, ready to be mounted.
    pub(crate) fn get(&self, tool: &str, program: &str, has_input: bool) -> Result<PathBuf, SandboxError> {
        let root = self.find(tool).ok_or_else(|| SandboxError::UnknownTool { tool: tool.into() })?;
        let places = MOUNT_POINTS.into_iter().filter(|place| has_input || *place != "input");
        let wanted = places.chain([program.trim_start_matches('/')]);
        // Not followed: a link in the root means something else outside of it.
        match wanted.into_iter().find(|path| fs::symlink_metadata(root.join(path)).is_err()) {
            Some(missing) => Err(SandboxError::IncompleteRoot { tool: tool.into(), missing: missing.into() }),
            None => Ok(root),
        }
    }

    /// The root of `tool`, when there is one.
    pub(crate) fn find(&self, tool: &str) -> Option<PathBuf> {
        is_slug(tool).then(|| self.0.join(tool)).filter(|root| root.is_dir())
    }

    /// The hash that was written when the root of `tool` was built.
    pub(crate) fn hash(&self, tool: &str) -> Option<String> {
        let root = self.find(tool)?;
        let hash = fs::read_to_string(root.with_file_name(format!("{tool}.hash"))).ok()?;
        let hash = hash.trim();
        let is_hash = (32..=128).contains(&hash.len()) && hash.bytes().all(|letter| letter.is_ascii_hexdigit());
        is_hash.then(|| hash.to_owned())
    }

    /// The upstream version that was written when the root of `tool` was built.
    pub(crate) fn version(&self, tool: &str) -> Option<String> {
        let root = self.find(tool)?;
        let version = fs::read_to_string(root.with_file_name(format!("{tool}.version"))).ok()?;
        let version = version.trim();
        let allowed = |letter: u8| letter.is_ascii_alphanumeric() || b".+-~_:".contains(&letter);
        ((1..=64).contains(&version.len()) && version.bytes().all(allowed)).then(|| version.to_owned())
    }
}

/// A tool's name is a single, plain path component.
fn is_slug(tool: &str) -> bool {
    let allowed =
        |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, b'-' | b'_' | b'.');
    (1..=64).contains(&tool.len()) && !tool.starts_with('.') && tool.bytes().all(allowed)
}

/// The first of `path` and its parents that other uids may not pass. Only the worker that is root needs to know: its
/// tools run as other uids.
pub(crate) fn closed_to_others(path: &Path) -> Option<PathBuf> {
    let may_pass = |path: &Path| fs::metadata(path).is_ok_and(|entry| entry.permissions().mode() & 0o001 != 0);
    path.ancestors().find(|path| !path.as_os_str().is_empty() && !may_pass(path)).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tools_name_never_leaves_its_folder() {
        for name in ["", ".", "..", "../etc", "a/b", "/etc", "Nmap", "a b", "a\0"] {
            assert!(!is_slug(name), "{name:?}");
        }
        assert!(is_slug("nmap") && is_slug("ssh-audit"));
    }

    #[test]
    fn a_root_without_a_mount_point_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["tool/proc", "tool/dev", "tool/scratch", "tool/etc"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        let error = Roots::new(folder.path().into()).get("tool", "/usr/bin/tool", false).unwrap_err();
        assert_eq!(error.to_string(), "expected tmp in the root of tool");
        fs::create_dir_all(folder.path().join("tool/tmp")).unwrap();
        let error = Roots::new(folder.path().into()).get("tool", "/usr/bin/tool", true).unwrap_err();
        assert_eq!(error.to_string(), "expected input in the root of tool");
    }

    #[test]
    fn only_a_hash_is_a_hash() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("nmap")).unwrap();
        let roots = Roots::new(folder.path().into());
        assert_eq!(roots.hash("nmap"), None);
        fs::write(folder.path().join("nmap.hash"), "../../etc/passwd").unwrap();
        assert_eq!(roots.hash("nmap"), None);
        fs::write(folder.path().join("nmap.hash"), format!("{}\n", "ab".repeat(32))).unwrap();
        assert_eq!(roots.hash("nmap"), Some("ab".repeat(32)));
        fs::write(folder.path().join("nmap.version"), "<b>7</b>\n").unwrap();
        assert_eq!(roots.version("nmap"), None);
        fs::write(folder.path().join("nmap.version"), "7.93\n").unwrap();
        assert_eq!(roots.version("nmap"), Some("7.93".into()));
    }

    #[test]
    fn a_closed_parent_is_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::set_permissions(folder.path().join("inner"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(closed_to_others(&folder.path().join("inner")).as_deref(), Some(folder.path()));
        assert_eq!(closed_to_others(Path::new("/usr/bin")), None);
    }
}
