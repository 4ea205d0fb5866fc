//! REFERENCE.md shows every JSON shape of the tool as it is.
//!
//! The tool's own tests hold its answers to golden shapes (`cli/tests/binary/answers.rs`); here the
//! documented shapes are held to those. Shapes without a golden form are compared with the struct
//! that serde writes.

// A document without what is looked for is a failed test.
#![allow(clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::{between, source, sources, words};
use netns_tests::markdown::{blocks, read, section};

/// Dotted path of each key and its kind; keys below counters are their names and left out.
fn keys(shape: &str) -> BTreeMap<String, String> {
    let mut above: Vec<&str> = Vec::new();
    let mut keys = BTreeMap::new();
    for line in shape.lines().filter(|line| !line.trim().is_empty()) {
        let depth = (line.len() - line.trim_start().len()) / 2;
        let (key, kind) = line.trim().split_once(": ").unwrap_or_else(|| panic!("{line:?}"));
        above.truncate(depth);
        if !above
            .iter()
            .any(|key| ["dropped", "events", "accepted", "rejected", "refused"].contains(key))
        {
            let path = [&above[..], &[key]].concat().join(".");
            keys.insert(path, kind.to_owned());
        }
        above.push(key);
    }
    keys
}

fn documented(schema: &str) -> BTreeMap<String, String> {
    let text = read("docs/REFERENCE.md");
    let blocks = blocks(section(&text, &format!("### {schema}")));
    let shape = blocks.iter().find(|block| block.language == "shape");
    keys(&shape.unwrap_or_else(|| panic!("{schema} has no shape")).text)
}

fn golden(name: &str) -> BTreeMap<String, String> {
    let files =
        ["answers", "mesh", "oneflow"].map(|file| read(&format!("cli/tests/binary/{file}.rs")));
    let text = files.concat();
    keys(between(&text, &format!("const {name}: &str = \"\n"), "\";"))
}

fn agree(schema: &str, documented: &BTreeMap<String, String>, golden: &BTreeMap<String, String>) {
    let names = |keys: &BTreeMap<String, String>| keys.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(documented), names(golden), "the keys of {schema}");
    for (key, kind) in golden.iter().filter(|(_, kind)| *kind != "null") {
        assert_eq!(&documented[key], kind, "{key} of {schema}");
    }
}

#[test]
fn the_documented_shapes_are_the_golden_ones() {
    for (schema, name) in [
        ("zonemesh/peers/v1", "PEERS"),
        ("zonemesh/peer/v1", "PEER"),
        ("zonemesh/superlinks/v1", "SUPERLINKS"),
        ("zonemesh/records/v1", "RECORDS"),
        ("zonemesh/certificates/v1", "CERTIFICATES"),
        ("zonemesh/mesh/v1", "MESH"),
        ("zonemesh/zones/v1", "ZONES"),
        ("zonemesh/invitation/v1", "INVITED"),
        ("zonemesh/join/v1", "JOINED"),
        ("zonemesh/blocked/v1", "BLOCKED"),
        ("zonemesh/tokens/v1", "TOKENS"),
        ("zonemesh/trust/v1", "TRUST"),
        ("zonemesh/authorities/v1", "AUTHORITIES"),
        ("zonemesh/trust-items/v1", "TRUST_ITEMS"),
        ("zonemesh/oneflow-check/v1", "ONEFLOW_CHECK"),
        ("zonemesh/oneflow-render/v1", "ONEFLOW_RENDER"),
    ] {
        agree(schema, &documented(schema), &golden(name));
    }
}

#[test]
fn the_status_is_its_own_keys_and_two_other_shapes() {
    let mut whole = documented("zonemesh/status/v1");
    for (part, schema) in [("peers", "zonemesh/peers/v1"), ("superlinks", "zonemesh/superlinks/v1")]
    {
        let inner = documented(schema);
        whole.extend(inner.into_iter().filter(|(key, _)| key.starts_with(&format!("{part}."))));
    }
    agree("zonemesh/status/v1", &whole, &golden("STATUS"));
}

/// The fields of a struct, in the order in which serde writes them.
fn fields(source: &str, name: &str) -> Vec<String> {
    let body = between(source, &format!("struct {name} {{\n"), "\n}");
    let lines = body.lines().map(str::trim).filter(|l| !l.starts_with("//") && !l.starts_with('#'));
    let name = |line: &str| {
        let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
        line.trim_start_matches("pub ").split(':').next().unwrap_or_default().to_owned()
    };
    lines.map(name).collect()
}

#[test]
fn shapes_without_a_golden_form_are_their_structs() {
    let key = source("cli/src/view/key.rs");
    let mesh = source("crates/api/src/view/mesh.rs");
    let check = source("cli/src/view/config_check.rs");
    let state = source("cli/src/view/state.rs");
    let reload = source("cli/src/view/reload.rs");
    for (schema, source, name) in [
        ("zonemesh/key/v1", &key, "KeyView"),
        ("zonemesh/key-rotation/v1", &mesh, "RotationView"),
        ("zonemesh/leave/v1", &mesh, "LeaveView"),
        ("zonemesh/token/v1", &key, "TokenView"),
        ("zonemesh/state/v1", &state, "StateView"),
        ("zonemesh/config-check/v1", &check, "CheckView"),
        ("zonemesh/reload/v1", &reload, "ReloadView"),
    ] {
        let shown = documented(schema);
        let mut expected: BTreeSet<String> = fields(source, name).into_iter().collect();
        for (view, list) in [("CheckView", "differs"), ("ReloadView", "changed")] {
            if name == view {
                let of = |list: &str, name, source| {
                    fields(source, name)
                        .into_iter()
                        .map(move |field| format!("{list}.{field}"))
                        .collect::<Vec<_>>()
                };
                expected.extend(of("errors", "Mistake", &check));
                expected.extend(of(list, "DifferenceView", &reload));
            }
        }
        assert_eq!(shown.into_keys().collect::<BTreeSet<_>>(), expected, "the keys of {schema}");
    }
}

#[test]
fn every_schema_is_described_and_every_description_a_schema() {
    let is_schema = |word: &str| word.starts_with("zonemesh/") && word.contains("/v");
    let mut found = BTreeSet::new();
    for folder in [
        "cli/src",
        "crates/api/src",
        "daemon/src",
        "crates/appliance/src",
        "crates/gateway/src",
        "crates/superlink/src",
        "crates/supernode/src",
    ] {
        found.extend(words(&sources(folder), is_schema));
    }
    let text = read("docs/REFERENCE.md");
    let split = text.split(|c: char| c.is_whitespace() || "`,.;:()".contains(c));
    let described: BTreeSet<String> =
        split.filter(|word| is_schema(word)).map(str::to_owned).collect();
    assert_eq!(described, found);
}

#[test]
fn the_status_file_of_a_companion_has_the_documented_keys() {
    let progress = source("crates/appliance/src/reporter/mod.rs");
    let text = read("docs/REFERENCE.md");
    let table = section(&text, "## State of a companion");
    let table = table.split_once("`status.json`, schema").expect("the table of its keys").1;
    let listed: Vec<String> =
        netns_tests::markdown::rows(table).iter().map(|row| row[0].clone()).collect();
    assert_eq!(listed, fields(&progress, "CompanionStatus"));
    let reason = table.lines().find(|line| line.starts_with("| `reason`")).expect("its row");
    for field in fields(&progress, "StatusReason") {
        assert!(reason.contains(&format!("`{field}`")), "{field} is not in: {reason}");
    }
}
