//! What runs in nmap's place while the way to the tool is measured: this very program, in a root of its own. It connects
//! to the port it was told to scan as its first deed, and prints the report of a scan that found nothing.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    net::{Ipv4Addr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use picket_sandbox::MOUNT_POINTS;

use crate::Failure;

const REPORT: &str = concat!(
    r#"<?xml version="1.0"?><!DOCTYPE nmaprun><nmaprun start="1795333898" xmloutputversion="1.05">"#,
    r#"<host><status state="up"/><address addr="127.0.0.1" addrtype="ipv4"/><ports></ports></host>"#,
    r#"<runstats><finished exit="success"/></runstats></nmaprun>"#,
);

/// Tells that it runs, and ends.
pub(crate) fn run(words: &[String]) -> Result<(), Failure> {
    let port = words.iter().skip_while(|word| *word != "-p").nth(1).ok_or("expected -p")?;
    TcpStream::connect((Ipv4Addr::LOCALHOST, port.parse()?))?;
    println!("{REPORT}");
    Ok(())
}

/// Makes the root of a tool `nmap` below `folder`: this program and the libraries that it has loaded.
pub(crate) fn install(folder: &Path) -> Result<(), Failure> {
    let root = folder.join("nmap");
    furnish(&root)?;
    copy(&std::env::current_exe()?, &root.join("usr/bin/nmap"))?;
    for library in libraries()? {
        copy(&library, &root.join(library.strip_prefix("/")?))?;
        // The loader is asked for by a name of its own, which is a link on most systems.
        let name = library.file_name().ok_or("a library has a name")?;
        for place in ["lib", "lib64"] {
            if name.to_string_lossy().starts_with("ld-linux") {
                copy(&library, &root.join(place).join(name))?;
            }
        }
    }
    Ok(())
}

/// The empty root of a tool, which every uid can read.
pub(crate) fn furnish(root: &Path) -> Result<(), Failure> {
    fs::create_dir_all(root.join("etc"))?;
    for place in MOUNT_POINTS {
        if place.starts_with("etc/") { fs::write(root.join(place), "")? } else { fs::create_dir_all(root.join(place))? }
    }
    Ok(())
}

/// Everything that this process has loaded (proc(5): the path is the sixth field).
fn libraries() -> Result<BTreeSet<PathBuf>, Failure> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).map(PathBuf::from);
    let is_library =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains(".so")) && path.is_file();
    Ok(paths.filter(is_library).collect())
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to.parent().ok_or("a file has a folder")?)?;
    fs::copy(from, to)?;
    Ok(fs::set_permissions(to, Permissions::from_mode(0o755))?)
}

/// A folder that every uid can reach.
pub(crate) fn open_folder() -> Result<tempfile::TempDir, Failure> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    Ok(folder)
}

/// The bubblewrap to use.
pub(crate) fn bwrap() -> PathBuf {
    picket_kit::environment("PICKET_BWRAP").map_or_else(|| PathBuf::from("/usr/bin/bwrap"), PathBuf::from)
}
