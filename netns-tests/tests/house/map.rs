//! The list of modules in docs/DEVELOPMENT.md: all that are there, and no other.

use std::collections::{BTreeMap, BTreeSet};

use crate::floors;
use crate::sources::{Source, workspace};

/// The packages whose modules are listed, and where their sources lie.
const LISTED: [(&str, &str); 9] = [
    (floors::DAEMON, "daemon/src"),
    ("zonemesh-core", "crates/core/src"),
    ("zonemesh-tunnel", "crates/tunnel/src"),
    ("zonemesh-appliance", "crates/appliance/src"),
    ("zonemesh-config", "crates/config/src"),
    ("zonemesh-context", "crates/context/src"),
    ("zonemesh-pki", "crates/pki/src"),
    ("zonemesh-oneflow", "crates/oneflow/src"),
    ("zonemesh", "cli/src"),
];

fn document() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/DEVELOPMENT.md");
    std::fs::read_to_string(file).expect("the document is there")
}

/// Modules by the folder that holds them.
type Modules = BTreeMap<String, BTreeSet<String>>;

fn listed(document: &str) -> Modules {
    let mut modules = Modules::new();
    let mut folder = String::new();
    let (_, section) = document.split_once("\n## Modules\n").expect("it has the section");
    for row in section.lines().take_while(|line| !line.starts_with("## ")) {
        let mut cells = row.split('|').skip(1).map(str::trim);
        let Some(first) = cells.next().filter(|_| row.starts_with('|')) else { continue };
        if let Some(path) = quoted(first) {
            path.clone_into(&mut folder);
        }
        let names = cells.filter_map(quoted).map(str::to_owned);
        modules.entry(folder.clone()).or_default().extend(names);
    }
    modules.retain(|_, names| !names.is_empty());
    modules
}

/// The word in backticks at the beginning of a cell.
fn quoted(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.split('`').next()
}

fn standing(sources: &[Source]) -> Modules {
    let mut modules = Modules::new();
    for source in sources {
        let Some((_, folder)) = LISTED.iter().find(|(package, _)| *package == source.package)
        else {
            continue;
        };
        let Some(first) = source.module.first().filter(|first| *first != "bin") else { continue };
        let on_a_floor = floors::NAMES.contains(&first.as_str()) && *folder == LISTED[0].1;
        match source.module.get(1).filter(|_| on_a_floor) {
            Some(second) => {
                modules.entry(format!("{folder}/{first}")).or_default().insert(second.clone());
            }
            None if on_a_floor || *folder == LISTED[0].1 => {}
            None => {
                modules.entry((*folder).to_owned()).or_default().insert(first.clone());
            }
        }
    }
    modules
}

/// The paths that the table of changes names.
fn places(document: &str) -> Vec<&str> {
    let (_, section) = document.split_once("\n## To change").expect("it has the table");
    let rows = section.lines().skip(1).take_while(|line| !line.starts_with("## "));
    let words =
        rows.filter(|row| row.starts_with('|')).flat_map(|row| row.split('`').skip(1).step_by(2));
    words.filter(|word| word.contains('/')).collect()
}

#[test]
fn each_place_of_the_table_of_changes_is_there() {
    let document = document();
    let places = places(&document);
    assert!(places.len() > 30, "the table names places: {places:?}");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let missing: Vec<_> = places.iter().filter(|place| !root.join(place).exists()).collect();
    assert!(missing.is_empty(), "no such place: {missing:?}");
}

#[test]
fn the_list_of_modules_is_that_of_the_sources() {
    let document = document();
    assert!(document.lines().count() <= 180, "a map is short: {}", document.lines().count());
    assert_eq!(listed(&document), standing(&workspace()));
}
