//! The dependency rules of the workspace, as a test: who may import whom, and who alone speaks a technology.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

/// What a crate of ours may import from the workspace. `picket` may import all but the test kit.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("picket-domain", &[]),
    ("picket-kit", &[]),
    ("picket-scanners", &["domain"]),
    ("picket-netd", &["domain"]),
    ("picket-sandbox", &["domain", "netd"]),
    ("picket-outbound", &["domain"]),
    ("picket-store", &["domain"]),
    ("picket-queue", &["domain"]),
    ("picket-live", &["domain"]),
    ("picket-blobs", &["domain"]),
    ("picket-planner", &["domain", "scanners", "outbound"]),
    ("picket-gateway", &["domain", "scanners", "store", "live", "outbound", "planner", "blobs", "kit"]),
    ("picket-steward", &["domain", "scanners", "store", "queue", "live", "outbound", "planner", "blobs", "kit"]),
    ("picket-renderer", &["domain", "store", "queue", "live", "blobs", "kit"]),
    ("picket-worker", &["domain", "store", "queue", "live", "planner", "blobs", "kit", "scanners", "sandbox"]),
    ("picket-dispatcher", &["domain", "store", "queue", "live", "outbound", "kit"]),
    (
        "picket",
        &[
            "domain",
            "scanners",
            "store",
            "queue",
            "live",
            "outbound",
            "planner",
            "blobs",
            "sandbox",
            "netd",
            "kit",
            "gateway",
            "steward",
            "worker",
            "dispatcher",
            "renderer",
        ],
    ),
    // Not part of the product: what measures it and what tests it.
    (
        "picket-bench",
        &[
            "domain",
            "scanners",
            "store",
            "queue",
            "live",
            "outbound",
            "planner",
            "blobs",
            "sandbox",
            "kit",
            "gateway",
            "steward",
            "worker",
            "dispatcher",
            "testkit",
        ],
    ),
    ("picket-testkit", &["domain", "store"]),
    ("picket-tests", &[]),
];

/// The only crates that may speak a technology. Test code is free.
const SPEAKS: &[(&str, &[&str])] = &[
    ("actix-web", &["picket-gateway"]),
    ("argon2", &["picket-gateway"]),
    ("governor", &["picket-gateway"]),
    ("jsonwebtoken", &["picket-gateway"]),
    ("hickory-resolver", &["picket-outbound"]),
    ("landlock", &["picket-sandbox"]),
    ("seccompiler", &["picket-sandbox", "picket-kit"]),
    ("libc", &["picket-sandbox", "picket-kit"]),
    ("lapin", &["picket-queue"]),
    ("lettre", &["picket-dispatcher"]),
    ("minijinja", &["picket-renderer"]),
    ("typst", &["picket-renderer"]),
    ("typst-pdf", &["picket-renderer"]),
    ("object_store", &["picket-blobs"]),
    ("redis", &["picket-live"]),
    // The demo is a client of the API like any other, so the command has an HTTP client too.
    ("reqwest", &["picket"]),
    ("tokio-postgres", &["picket-store"]),
    ("tokio-postgres-rustls", &["picket-store"]),
    ("deadpool-postgres", &["picket-store"]),
    ("refinery", &["picket-store"]),
];

/// Crates that are not part of the product and may speak what they measure or test.
const NOT_THE_PRODUCT: &[&str] = &["picket-bench", "picket-testkit", "picket-tests"];

#[test]
fn crates_import_only_what_they_may() {
    let allowed: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    for (krate, imports) in imports() {
        let may = allowed.get(krate.as_str()).unwrap_or_else(|| panic!("{krate} is not in MAY_IMPORT"));
        for import in imports.iter().filter_map(|import| import.strip_prefix("picket-")) {
            assert!(may.contains(&import), "{krate} must not import {import}");
        }
    }
}

#[test]
fn every_crate_of_the_design_is_there() {
    let imports = imports();
    for (krate, _) in MAY_IMPORT {
        assert!(imports.contains_key(*krate), "{krate} is missing");
    }
}

#[test]
fn each_technology_is_spoken_by_its_crate_alone() {
    for (krate, imports) in imports() {
        if NOT_THE_PRODUCT.contains(&krate.as_str()) {
            continue;
        }
        for (technology, speakers) in
            SPEAKS.iter().filter(|(technology, _)| imports.iter().any(|one| one == technology))
        {
            assert!(speakers.contains(&krate.as_str()), "only {speakers:?} may use {technology}, not {krate}");
        }
    }
}

#[test]
fn roles_never_import_one_another() {
    const ROLES: [&str; 5] = ["gateway", "steward", "worker", "dispatcher", "renderer"];
    for (krate, imports) in imports() {
        let role = krate.strip_prefix("picket-").is_some_and(|name| ROLES.contains(&name));
        for import in imports.iter().filter_map(|import| import.strip_prefix("picket-")) {
            assert!(!(role && ROLES.contains(&import)), "{krate} imports the role {import}");
        }
    }
}

/// Every crate of the workspace with its normal dependencies.
fn imports() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    metadata["packages"]
        .as_array()
        .expect("a workspace has packages")
        .iter()
        .map(|package| {
            let normal = package["dependencies"].as_array().into_iter().flatten().filter(|dep| dep["kind"].is_null());
            (text(&package["name"]), normal.map(|dep| text(&dep["name"])).collect())
        })
        .collect()
}

/// Whatever runs a tool passes `ScanSpec`, which alone asks a tool for tasks and command lines. (`.command(` is its own.)
#[test]
fn tools_are_opened_through_one_door() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut folders = vec![root.join("crates")];
    let mut looked_at = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.contains("/src/")
                && name.ends_with(".rs")
                && !name.contains("test")
                && !name.contains("scanners")
            {
                let source = std::fs::read_to_string(&path).expect("a source");
                looked_at += 1;
                assert!(!source.contains(".invocation("), "{name} asks a tool for a command line: use ScanSpec");
                assert!(!source.contains("tool.shapes("), "{name} asks a tool for tasks: use ScanSpec");
            }
        }
    }
    assert!(looked_at > 100, "{looked_at}");
}
