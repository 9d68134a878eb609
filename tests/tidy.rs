//! Rules of the house that a program can check: sizes, first lines, words that do not belong here, names of documents.

use std::{
    fs,
    path::{Path, PathBuf},
};

const FILE_END: usize = 400;
const FUNCTION_END: usize = 50;
const FILE_AIM: usize = 200;
const FUNCTION_AIM: usize = 20;

/// Every Rust file of the product, without generated and vendored ones.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for folder in ["crates", "tests", "bench"] {
        walk(&root.join(folder), &mut found);
    }
    assert!(found.len() > 100, "the walk finds the workspace");
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(&path).expect("a source"))).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target" && name != "testdata") {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Lines of each function, by brace counting at the indentation of its `fn`.
fn functions(text: &str) -> Vec<(usize, usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let begins = line.trim_start();
        let is_fn = [
            "fn ",
            "pub fn ",
            "async fn ",
            "pub async fn ",
            "pub(crate) fn ",
            "pub(crate) async fn ",
            "pub(super) fn ",
            "pub(super) async fn ",
            "const fn ",
            "pub const fn ",
            "pub(crate) const fn ",
        ]
        .iter()
        .any(|prefix| begins.starts_with(prefix));
        if !is_fn || begins.ends_with(';') {
            continue;
        }
        let close = format!("{}}}", " ".repeat(indent));
        let body = lines.iter().skip(start).take_while(|line| **line != close.as_str()).count() + 1;
        let one_line = begins.ends_with('}');
        found.push((start + 1, if one_line { 1 } else { body }, begins.to_owned()));
    }
    found
}

#[test]
fn no_file_and_no_function_is_longer_than_the_end() {
    let mut too_long = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > FILE_END {
            too_long.push(format!("{}: {lines} lines", path.display()));
        }
        for (line, length, name) in functions(&text) {
            if length > FUNCTION_END {
                too_long.push(format!("{}:{line}: {length} lines: {name}", path.display()));
            }
        }
    }
    assert!(too_long.is_empty(), "{}", too_long.join("\n"));
}

#[test]
fn most_files_and_functions_are_within_the_aim() {
    let sources = sources();
    let mut files: Vec<usize> = sources.iter().map(|(_, text)| text.lines().count()).collect();
    let mut bodies: Vec<usize> =
        sources.iter().flat_map(|(_, text)| functions(text)).map(|(_, length, _)| length).collect();
    files.sort_unstable();
    bodies.sort_unstable();
    let (file, body) = (files[files.len() / 2], bodies[bodies.len() / 2]);
    println!("files: {}, median {file}, largest {}", files.len(), files[files.len() - 1]);
    println!("functions: {}, median {body}, largest {}", bodies.len(), bodies[bodies.len() - 1]);
    assert!(file <= FILE_AIM && body <= FUNCTION_AIM);
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!") && !text.starts_with("#!"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    const NAMES: [&str; 7] = ["utils", "util", "common", "helpers", "types", "manager", "mod"];
    for (path, _) in sources() {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        assert!(!NAMES.contains(&stem), "{}", path.display());
    }
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    for (path, text) in sources() {
        let allow = ["#[al", "low("].concat();
        assert!(!text.contains(&allow), "{}", path.display());
    }
}

#[test]
fn nothing_is_left_to_do_in_a_comment() {
    let words = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X:"].concat()];
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| line.contains("//")) {
            let comment = line.split_once("//").map_or("", |(_, comment)| comment);
            assert!(!words.iter().any(|word| comment.contains(word)), "{}:{}", path.display(), number + 1);
        }
    }
}

/// Every file of the repository with one of these extensions, as its path from the root and its text.
fn files(extensions: &[&str]) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let is_ours = name != "target" && !name.to_string_lossy().starts_with('.');
            if is_ours && path.is_dir() {
                walk(&path, extensions, found);
            } else if path.extension().and_then(|one| one.to_str()).is_some_and(|one| extensions.contains(&one)) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), extensions, &mut found);
    let from_root = |path: &Path| path.strip_prefix(root()).expect("below the root").to_owned();
    found.iter().map(|path| (from_root(path), fs::read_to_string(path).expect("a text"))).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether the path exists, seen from the root or from the folder of the file that names it.
fn exists(named: &str, by: &Path) -> bool {
    root().join(named).exists() || root().join(by).parent().is_some_and(|folder| folder.join(named).exists())
}

/// What stands between single backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let documents = files(&["md"]);
    assert!(documents.len() > 5, "the walk finds the documents");
    let mut broken = Vec::new();
    for (path, text) in &documents {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let folder = root().join(path).parent().map(Path::to_owned).unwrap_or_default();
            if !file.is_empty() && !file.contains("://") && !folder.join(file).exists() {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_document_that_is_named_is_in_the_repository() {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let mut missing = Vec::new();
    for (path, text) in files(&["rs", "sql", "md", "toml", "sh"]) {
        for word in text.split(|c| !is_part(c)).map(|word| word.trim_matches('.')) {
            let is_document = word.strip_suffix(".md").is_some_and(|stem| !stem.is_empty());
            if is_document && !exists(word, &path) {
                missing.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_file_that_a_document_names_is_in_the_repository() {
    const FOLDERS: [&str; 6] = ["crates/", "tests/", "deploy/", "docs/", "migrations/", "bench/"];
    let mut missing = Vec::new();
    for (path, text) in files(&["md"]) {
        for named in quoted(&text).filter_map(|quote| quote.split(' ').next()) {
            if FOLDERS.iter().any(|folder| named.starts_with(folder)) && !root().join(named).exists() {
                missing.push(format!("{}: {named}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_test_that_the_architecture_names_exists() {
    let code: String = sources().into_iter().map(|(_, text)| text).collect();
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the architecture");
    let is_test = |word: &&str| {
        word.matches('_').count() >= 3 && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let named: Vec<&str> = quoted(&architecture).filter(is_test).collect();
    assert!(named.len() > 20, "each invariant names its tests");
    let missing: Vec<&&str> = named.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
