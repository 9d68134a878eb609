//! The dependency rules of the workspace, as a test: who may import whom, and who alone speaks a technology.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

/// What a crate of ours may import from the workspace. `picket` may import all but the test kit.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("picket-domain", &[]),
    ("picket-faults", &[]),
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
            "netd",
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

/// What holds the places of failpoints: nothing in the product, so every crate may have them but those that are pure.
const FAULTS: &str = "faults";
const PURE: &[&str] = &["picket-domain", "picket-scanners"];

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
    // Failpoints, behind a feature that only tests turn on.
    ("fail", &["picket-faults"]),
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
            let is_place = import == FAULTS && !PURE.contains(&krate.as_str());
            assert!(is_place || may.contains(&import), "{krate} must not import {import}");
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

/// Only the tests of `picket` and of its sandbox turn failpoints on: for the product every place is an empty function.
#[test]
fn failpoints_are_in_builds_of_tests_alone() {
    let mut users = 0;
    for package in metadata()["packages"].as_array().expect("a workspace has packages") {
        let on = |features: &Value| features.as_array().into_iter().flatten().any(|one| one == "failpoints");
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let is_ours = dependency["name"] == "picket-faults";
            users += usize::from(is_ours);
            let tests = ["picket", "picket-sandbox"].map(Value::from);
            let is_for_tests = dependency["kind"] == "dev" && tests.contains(&package["name"]);
            assert!(!(is_ours && on(&dependency["features"])) || is_for_tests, "{}", package["name"]);
        }
        let features = package["features"].as_object().expect("features");
        let names_it = features.iter().any(|(_, parts)| parts.to_string().contains("picket-faults"));
        assert!(!names_it, "{}: a feature of a crate of the product", package["name"]);
    }
    assert!(users > 5, "{users}");
}

/// Every crate of the workspace with its normal dependencies.
fn imports() -> BTreeMap<String, Vec<String>> {
    let metadata = metadata();
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

/// What cargo knows of the workspace.
fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .output()
        .expect("cargo runs");
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
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
