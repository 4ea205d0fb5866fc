//! Each type's name stands once in the workspace: whoever greps for it finds it.
//!
//! Names that end in `Error` aside, as each module that can fail has one; and a type inside
//! `api::wire` may carry the name of the core type that it is the wire's form of.

use std::collections::BTreeMap;

use syn::Item;

use crate::sources::{Source, workspace};

fn type_names(items: &[Item]) -> Vec<String> {
    let names = items.iter().flat_map(|item| match item {
        Item::Struct(item) => vec![item.ident.to_string()],
        Item::Enum(item) => vec![item.ident.to_string()],
        Item::Trait(item) => vec![item.ident.to_string()],
        Item::Mod(item) => {
            item.content.as_ref().map_or_else(Vec::new, |(_, items)| type_names(items))
        }
        _ => Vec::new(),
    });
    names.collect()
}

fn may_repeat(source: &Source, name: &str) -> bool {
    let on_the_wire = source.package == "zonemesh-api"
        && source.module.first().is_some_and(|first| first == "wire");
    name.ends_with("Error") || on_the_wire
}

#[test]
fn each_type_name_stands_once_in_the_workspace() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in workspace() {
        for name in type_names(&source.items.items) {
            if !may_repeat(&source, &name) {
                places.entry(name).or_default().push(source.path.display().to_string());
            }
        }
    }
    assert!(places.len() > 300, "the walk must have seen the types: {}", places.len());
    let twice = places.iter().filter(|(_, places)| places.len() > 1);
    let lines: Vec<_> =
        twice.map(|(name, places)| format!("{name}: {}", places.join(", "))).collect();
    assert!(lines.is_empty(), "{} names stand more than once:\n{}", lines.len(), lines.join("\n"));
}
