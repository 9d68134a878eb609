//! What the stack gave to the tests. `make test` sets it; a test that needs a service fails without.

use std::path::PathBuf;

/// A variable that `make test` sets.
///
/// # Panics
/// Without it, saying how to get it.
#[must_use]
pub fn required(name: &str) -> String {
    optional(name).unwrap_or_else(|| panic!("{name} is not set: run the tests with `make test`"))
}

/// A variable that may be missing.
#[must_use]
pub fn optional(name: &str) -> Option<String> {
    std::env::var_os(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty())
}

/// A file or folder of the shared data beside the checkout; `None`, with a message, where it is absent.
#[must_use]
pub fn shared(path: &str) -> Option<PathBuf> {
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = optional("PICKET_SHARED").map_or_else(|| workspace.join("../shared"), PathBuf::from);
    let found = root.join(path);
    if found.exists() {
        Some(found)
    } else {
        println!("skipped: {} is not there", found.display());
        None
    }
}
