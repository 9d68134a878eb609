//! Every tool whose reports are read has a fuzz target of its name and seeds: the catalogue's own list beside `fuzz/`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use picket_scanners::{Head, formats, recognize};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The targets are called as Rust calls modules.
fn tools() -> BTreeSet<String> {
    formats().map(|format| format.tool().replace('-', "_")).collect()
}

fn stems(folder: &Path) -> BTreeSet<String> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_tool_has_a_fuzz_target_and_every_target_a_tool() {
    assert_eq!(stems(&root().join("fuzz/fuzz_targets")), tools());
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for tool in tools() {
        let path = root().join(format!("fuzz/fuzz_targets/{tool}.rs"));
        let slug = format!("target!(\"{}\")", tool.replace("ssh_audit", "ssh-audit"));
        assert!(fs::read_to_string(path).unwrap().contains(&slug), "{tool}");
        let bin = format!("name = \"{tool}\"\npath = \"fuzz_targets/{tool}.rs\"");
        assert!(manifest.contains(&bin), "expected a [[bin]] of {tool} in fuzz/Cargo.toml");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), tools().len());
}

/// `fuzz/run.sh` takes the seeds of a target from the folder of its name.
#[test]
fn every_format_has_a_seed_of_ours_in_the_folder_of_its_tool() {
    for format in formats() {
        let folder = root().join("crates/scanners/testdata").join(format.tool().replace('-', "_"));
        let seeds = fs::read_dir(&folder).unwrap_or_else(|_| panic!("expected seeds in {}", folder.display()));
        let is_mine = |path: PathBuf| {
            let found = recognize(&Head::new(&fs::read(path).unwrap(), true)).map(|found| (found.tool(), found.name()));
            found == Some((format.tool(), format.name()))
        };
        let is_there = seeds.map(|entry| entry.unwrap().path()).any(is_mine);
        assert!(is_there, "expected a seed of {} {} in {}", format.tool(), format.name(), folder.display());
    }
}
