//! Log lines in the documents: each said by its module, with the fields as that writes them.

// A document without what is looked for is a failed test.
#![allow(clippy::panic)]

use crate::sources::source;
use netns_tests::markdown::{all_documents, blocks, read};

/// The source of a module of a companion: `zonemesh_superlink::certified`.
fn module(path: &str) -> String {
    let folder = path.trim_start_matches("zonemesh_").replacen("::", "/src/", 1).replace("::", "/");
    let files = [format!("crates/{folder}.rs"), format!("crates/{folder}/mod.rs")];
    let found = files.iter().find(|file| netns_tests::markdown::root().join(file).is_file());
    source(found.unwrap_or_else(|| panic!("{path} is no module: neither {files:?}")))
}

/// The events of a source: what stands in the parentheses of `tracing::info!(..)` and the like.
fn events(source: &str) -> impl Iterator<Item = &str> {
    source.split("tracing::").skip(1).filter_map(|rest| {
        let (kind, rest) = rest.split_once("!(")?;
        let is_event = ["info", "warn", "error"].contains(&kind);
        is_event.then(|| rest.split(");").next().unwrap_or_default())
    })
}

/// True if this event writes `field` as the line has it: what is written with `%` has no quotes.
fn writes(event: &str, field: &str) -> bool {
    let Some((name, value)) = field.split_once('=') else { return true };
    let is_plain = event.contains(&format!("%{name}")) || event.contains(&format!("{name} = %"));
    event.contains(name) && !(is_plain && value.starts_with('"'))
}

#[test]
fn log_lines_of_companions_are_said_by_their_modules_as_they_stand_there() {
    let mut seen = 0;
    for document in all_documents() {
        for block in blocks(&read(&document)) {
            for line in block.text.lines() {
                let Some((_, said)) = line.split_once(" INFO zonemesh_") else { continue };
                let (path, said) = said.split_once(": ").unwrap_or_else(|| panic!("{line:?}"));
                let source = module(path);
                let is_said = |event: &str| {
                    let message = event.rsplit('"').nth(1).unwrap_or_default();
                    let fields = said.strip_prefix(message);
                    fields.is_some_and(|rest| rest.split(' ').all(|field| writes(event, field)))
                };
                assert!(events(&source).any(is_said), "{document}: {path} never says: {said}");
                seen += 1;
            }
        }
    }
    assert!(seen > 5, "the quick start shows what companions say");
}
