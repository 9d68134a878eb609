//! What lies in the roots of the installed tools: nothing that gives rights, and no shell where the tool needs none.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::room::variable;

/// Programs that run programs by their text.
const SHELLS: [&str; 10] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "busybox", "csh", "tcsh"];
/// A shell script, under the name of its root.
const NEEDS_A_SHELL: [&str; 2] = ["testssl", "testssl.sh"];

/// Every file below a folder; links are not followed.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() { files(&entry.path(), found) } else { found.push(entry.path()) }
    }
}

#[test]
fn no_root_has_a_setuid_file_and_only_shell_scripts_have_a_shell() {
    let Some(tools) = variable("PICKET_TOOLS_ROOT").map(PathBuf::from).filter(|tools| tools.is_dir()) else {
        println!("PICKET_TOOLS_ROOT is not set: not tried");
        return;
    };
    let mut roots = 0;
    for root in fs::read_dir(&tools).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        roots += 1;
        let tool = root.file_name().unwrap().to_str().unwrap().to_owned();
        let mut found = Vec::new();
        files(&root, &mut found);
        assert!(!found.is_empty(), "{tool} is empty");
        for path in found {
            let entry = fs::symlink_metadata(&path).unwrap();
            let is_link = entry.file_type().is_symlink();
            assert!(is_link || entry.permissions().mode() & 0o6000 == 0, "{} gives rights", path.display());
            assert!(is_link || entry.is_file(), "{} is neither a file nor a link", path.display());
            let is_program = is_link || entry.permissions().mode() & 0o111 != 0;
            let is_shell = is_program && SHELLS.iter().any(|shell| path.file_name().is_some_and(|name| name == *shell));
            assert!(!is_shell || NEEDS_A_SHELL.contains(&tool.as_str()), "{} is a shell", path.display());
        }
    }
    assert!(roots > 0, "PICKET_TOOLS_ROOT names a folder without a root");
}
