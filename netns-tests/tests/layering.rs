//! The shape of the workspace: which of our crates may depend on which, and how pure the core is.
//!
//! Reads `cargo metadata`; the allowed edges are those of docs/ARCHITECTURE.md. A new edge is a
//! decision about the architecture: change the document first, then this table.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// Package, and the packages of ours that it may depend on directly (for any kind of dependency).
const ALLOWED: [(&str, &[&str]); 17] = [
    ("zonemesh-core", &[]),
    ("zonemesh-pki", &[]),
    ("zonemesh-netlink", &[]),
    ("zonemesh-config", &["zonemesh-core"]),
    ("zonemesh-context", &["zonemesh-core"]),
    ("zonemesh-tunnel", &["zonemesh-core"]),
    ("zonemesh-oneflow", &["zonemesh-context", "zonemesh-core"]),
    ("zonemesh-api", &["zonemesh-core"]),
    ("zonemesh-standin", &["zonemesh-api", "zonemesh-core", "zonemesh-pki"]),
    (
        "zonemesh-appliance",
        &[
            "zonemesh-api",
            "zonemesh-context",
            "zonemesh-core",
            "zonemesh-netlink",
            "zonemesh-pki",
            "zonemesh-standin",
        ],
    ),
    (
        "zonemesh-gateway",
        &[
            "zonemesh-api",
            "zonemesh-appliance",
            "zonemesh-config",
            "zonemesh-context",
            "zonemesh-core",
            "zonemesh-standin",
        ],
    ),
    (
        "zonemesh-superlink",
        &[
            "zonemesh-appliance",
            "zonemesh-api",
            "zonemesh-context",
            "zonemesh-core",
            "zonemesh-pki",
            "zonemesh-standin",
        ],
    ),
    (
        "zonemesh-supernode",
        &[
            "zonemesh-appliance",
            "zonemesh-api",
            "zonemesh-context",
            "zonemesh-core",
            "zonemesh-pki",
            "zonemesh-standin",
        ],
    ),
    ("zonemesh", &["zonemesh-api", "zonemesh-config", "zonemesh-core", "zonemesh-oneflow"]),
    (
        "zonemeshd",
        &[
            "zonemesh-api",
            "zonemesh-config",
            "zonemesh-core",
            "zonemesh-netlink",
            "zonemesh-pki",
            "zonemesh-tunnel",
        ],
    ),
    ("zonemesh-lab", &[]),
    (
        "netns-tests",
        &[
            "zonemesh-api",
            "zonemesh-config",
            "zonemesh-context",
            "zonemesh-core",
            "zonemesh-lab",
            "zonemesh-oneflow",
            "zonemesh-pki",
            "zonemesh-standin",
        ],
    ),
];

/// Words of sockets, clocks and runtimes.
const IMPURE: [&str; 6] = ["tokio", "tonic", "rustls", "hyper", "mio", "socket2"];

/// The platform of the appliances; without it cargo would fetch the crates of all others.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

fn metadata() -> Metadata {
    MetadataCommand::new()
        .other_options(["--locked", "--filter-platform", PLATFORM].map(str::to_owned))
        .exec()
        .expect("cargo metadata works")
}

#[test]
fn crates_of_ours_depend_on_each_other_only_as_the_architecture_allows() {
    let metadata = metadata();
    let allowed = BTreeMap::from(ALLOWED);
    let members: BTreeSet<&str> =
        metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();
    let known: BTreeSet<&str> = allowed.keys().copied().collect();
    assert_eq!(members, known, "every package of the workspace stands in the table, and no other");
    for package in metadata.workspace_packages() {
        let may = allowed[package.name.as_str()];
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            assert!(
                !members.contains(name) || may.contains(&name),
                "{} must not depend on {name}: it may depend on {may:?}",
                package.name
            );
        }
    }
}

/// Names of everything a package needs to build and run, itself included; tests are left out.
fn normal_tree(metadata: &Metadata, root: &str) -> BTreeSet<String> {
    let resolve = metadata.resolve.as_ref().expect("cargo metadata resolves");
    let nodes: BTreeMap<&PackageId, _> =
        resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let start = metadata.packages.iter().find(|package| package.name.as_str() == root);
    let mut todo = vec![&start.expect("the package exists").id];
    let mut seen = BTreeSet::new();
    while let Some(id) = todo.pop() {
        if seen.insert(id) {
            let normal = nodes[id].deps.iter().filter(|dependency| {
                dependency.dep_kinds.iter().any(|info| info.kind != DependencyKind::Development)
            });
            todo.extend(normal.map(|dependency| &dependency.pkg));
        }
    }
    let name = |id: &&PackageId| metadata[*id].name.to_string();
    seen.iter().map(name).collect()
}

#[test]
fn the_core_knows_no_runtime_no_socket_and_no_tls() {
    let tree = normal_tree(&metadata(), "zonemesh-core");
    let impure: Vec<&&str> = IMPURE.iter().filter(|name| tree.contains(**name)).collect();
    assert!(impure.is_empty(), "zonemesh-core must stay pure, but its tree has {impure:?}");
    assert!(tree.contains("ed25519-dalek"), "the walk must have seen its real dependencies");
}

#[test]
fn the_daemon_has_one_crypto_provider() {
    let tree = normal_tree(&metadata(), "zonemeshd");
    assert!(tree.contains("ring"));
    assert!(!tree.contains("aws-lc-rs"), "two providers make rustls refuse to choose one");
}
