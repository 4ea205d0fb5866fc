//! The sources as text: which words stand in them, without their unit tests.
//!
//! Knows no Rust beyond string literals and `#[cfg(test)]`, on purpose: the packages it looks into
//! are none that a test of documents may depend on.

// A document without what is looked for is a failed test.
#![allow(clippy::panic)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use netns_tests::markdown::{read, root};

/// The part of a source file before its unit tests, or nothing if all of it is one.
pub(crate) fn source(path: &str) -> String {
    let text = read(path);
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

/// All `.rs` files below a folder, joined, without unit tests.
pub(crate) fn sources(folder: &str) -> String {
    let mut text = String::new();
    let mut todo: Vec<PathBuf> = vec![root().join(folder)];
    while let Some(next) = todo.pop() {
        if next.is_dir() {
            let entries = std::fs::read_dir(&next).expect("a folder can be read");
            todo.extend(entries.map(|entry| entry.expect("it can be listed").path()));
        } else if next.extension().is_some_and(|kind| kind == "rs") {
            let inside = next.strip_prefix(root()).expect("it lies in the project");
            text += &source(inside.to_str().expect("a name in UTF-8"));
        }
    }
    text
}

/// The string literals on one line each, without escapes.
pub(crate) fn literals(source: &str) -> impl Iterator<Item = &str> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split('"').skip(1).step_by(2))
}

/// The literals that `wanted` accepts.
pub(crate) fn words(source: &str, wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
    literals(source).filter(|word| wanted(word)).map(str::to_owned).collect()
}

/// The text between `from` and the next `to`.
pub(crate) fn between<'s>(source: &'s str, from: &str, to: &str) -> &'s str {
    let (_, rest) = source.split_once(from).unwrap_or_else(|| panic!("{from:?} is not there"));
    rest.split_once(to).unwrap_or_else(|| panic!("{to:?} does not follow {from:?}")).0
}

/// One row of the companions' table of Flower's versions.
pub(crate) struct FlowersRun {
    /// As the documents call it.
    pub(crate) transport: &'static str,
    /// The releases that were run.
    pub(crate) run: Vec<String>,
}

/// The companions' table of Flower's versions.
pub(crate) fn flowers_run() -> Vec<FlowersRun> {
    let code = source("crates/appliance/src/flower/table.rs");
    let table = between(&code, "pub const COMPATIBILITY: &[FlowerEra] = &[", "\n];");
    let row = |row: &str| FlowersRun {
        transport: if row.contains("&GrpcFlower") { "gRPC" } else { "HTTP" },
        run: versions(between(row, "run: &[", "]")),
    };
    table.split("FlowerEra {").skip(1).map(row).collect()
}

/// The version of new images and of the demo.
pub(crate) fn preferred_flower() -> String {
    let code = source("crates/appliance/src/flower/table.rs");
    versions(between(&code, "pub const PREFERRED: FlowerVersion =", ";")).remove(0)
}

fn versions(code: &str) -> Vec<String> {
    let numbers = code.split("FlowerVersion::new(").skip(1);
    numbers.map(|row| row.split(')').next().unwrap_or_default().replace(", ", ".")).collect()
}

#[test]
fn literals_are_found_and_comments_and_unit_tests_are_not() {
    let text = "// \"no\"\nlet a = (\"one\", \"two\");\n    /// \"neither\"\nlet b = \"three\";\n";
    assert_eq!(literals(text).collect::<Vec<_>>(), ["one", "two", "three"]);
    assert!(sources("cli/src").contains("fn main()"));
    assert!(!sources("cli/src").contains("#[cfg(test)]"));
}
