//! The sources of the workspace, parsed: each file with the module that it is, without its tests.
//!
//! Tests, generated code and what only fuzzing builds are left out, by their attribute or their place.

use std::path::{Path, PathBuf};

use cargo_metadata::MetadataCommand;
use quote::ToTokens as _;
use syn::visit_mut::VisitMut;
use syn::{Attribute, File, Item, ItemMod};

/// A file of a package.
pub(crate) struct Source {
    /// The package's name.
    pub(crate) package: String,
    /// Relative to the root of the workspace.
    pub(crate) path: PathBuf,
    /// The module that the file is, from the crate's root: empty for `lib.rs` and `main.rs`.
    pub(crate) module: Vec<String>,
    /// Its items, tests left out.
    pub(crate) items: File,
}

/// Every file below `src` of every package of the workspace.
pub(crate) fn workspace() -> Vec<Source> {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata works");
    let root = metadata.workspace_root.as_std_path();
    let mut sources = Vec::new();
    for package in &metadata.packages {
        let folder =
            package.manifest_path.parent().expect("a manifest lies in a folder").join("src");
        let mut files = Vec::new();
        find_rust_files(folder.as_std_path(), &mut files);
        let read = |file: PathBuf| Source {
            package: package.name.to_string(),
            module: module_of(file.strip_prefix(&folder).expect("it was found there")),
            items: parse(&file),
            path: file.strip_prefix(root).expect("packages lie in the workspace").to_owned(),
        };
        sources.extend(files.into_iter().map(read).filter(|source| !is_left_out(source)));
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn find_rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources can be read") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            find_rust_files(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

fn parse(file: &Path) -> File {
    let text = std::fs::read_to_string(file).expect("a source can be read");
    let mut items = syn::parse_file(&text).expect("a source can be parsed");
    WithoutTests.visit_file_mut(&mut items);
    items
}

/// `plan/mod.rs` and `plan.rs` are the module `plan`; a program below `bin/` is a root of its own.
fn module_of(inside: &Path) -> Vec<String> {
    let mut parts: Vec<String> = inside
        .with_extension("")
        .iter()
        .map(|part| part.to_str().expect("names of sources are UTF-8").to_owned())
        .collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// Whole files that are tests, fuzzing or generated.
fn is_left_out(source: &Source) -> bool {
    let of_tests =
        |part: &String| matches!(part.as_str(), "tests" | "fuzzing" | "fuzzed" | "generated");
    source.module.iter().any(of_tests)
}

struct WithoutTests;

impl VisitMut for WithoutTests {
    fn visit_file_mut(&mut self, file: &mut File) {
        file.items.retain(|item| !is_for_tests(item));
        syn::visit_mut::visit_file_mut(self, file);
    }

    fn visit_item_mod_mut(&mut self, module: &mut ItemMod) {
        if let Some((_, items)) = &mut module.content {
            items.retain(|item| !is_for_tests(item));
        }
        syn::visit_mut::visit_item_mod_mut(self, module);
    }
}

fn is_for_tests(item: &Item) -> bool {
    let attributes: &[Attribute] = match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    };
    attributes.iter().any(|attribute| {
        let text = attribute.meta.to_token_stream().to_string().replace(' ', "");
        matches!(text.as_str(), "cfg(test)" | "cfg(fuzzing)" | "cfg(any(test,fuzzing))" | "test")
    })
}

#[test]
fn the_sources_are_found_and_their_tests_are_left_out() {
    let sources = workspace();
    let daemon = || sources.iter().filter(|source| source.package == "zonemeshd");
    assert!(daemon().count() > 50, "the walk must have seen the daemon");
    assert!(daemon().any(|source| source.module.is_empty()));
    let has_tests =
        |source: &&Source| source.items.to_token_stream().to_string().contains("mod tests {");
    assert_eq!(daemon().filter(has_tests).map(|source| &source.path).next(), None);
}
