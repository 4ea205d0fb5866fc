//! No circle between the modules of a crate: each can be understood without those above it.
//!
//! A module is the first path component below a crate's `src`, the second below a floor of the
//! daemon. What a file hands on (`pub use`) is no use of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::floors;
use crate::paths::{ModulePath, named, resolve};
use crate::sources::{Source, workspace};

/// Who names whom, by the name of the module, with one file that does for each edge.
pub(crate) type Edges = BTreeMap<String, BTreeMap<String, String>>;

/// The module that a path counts for; none for what stands in the crate's root.
fn module_of(package: &str, path: &[String]) -> Option<String> {
    let first = path.first()?;
    let on_a_floor = package == floors::DAEMON && floors::NAMES.contains(&first.as_str());
    match path.get(1).filter(|_| on_a_floor) {
        Some(second) => Some(format!("{first}::{second}")),
        None if on_a_floor => None,
        None => Some(first.clone()),
    }
}

/// The edges between the modules of one package.
pub(crate) fn edges(package: &str, sources: &[Source]) -> Edges {
    let files: Vec<&Source> = sources.iter().filter(|source| source.package == package).collect();
    edges_of(package, &files)
}

fn edges_of(package: &str, files: &[&Source]) -> Edges {
    let modules: BTreeSet<ModulePath> = files.iter().map(|file| file.module.clone()).collect();
    let read: Vec<_> = files.iter().map(|file| (file, named(file))).collect();
    let handed_on = read.iter().flat_map(|(_, named)| named.handed_on.clone()).collect();
    let mut edges = Edges::new();
    for (file, named) in &read {
        let Some(from) = module_of(package, &file.module) else { continue };
        for path in &named.used {
            let to = module_of(package, &resolve(path, &handed_on, &modules));
            if let Some(to) = to.filter(|to| *to != from) {
                let place = file.path.display().to_string();
                edges.entry(from.clone()).or_default().entry(to).or_insert(place);
            }
        }
    }
    edges
}

/// All modules that can be come to from one.
fn reached<'e>(edges: &'e Edges, from: &'e str) -> BTreeSet<&'e str> {
    let mut seen = BTreeSet::new();
    let mut todo = vec![from];
    while let Some(next) = todo.pop() {
        let further = edges.get(next).into_iter().flat_map(BTreeMap::keys);
        todo.extend(further.map(String::as_str).filter(|module| seen.insert(*module)));
    }
    seen
}

/// The groups of modules that lead back to each other.
fn circles(edges: &Edges) -> Vec<BTreeSet<&str>> {
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        edges.keys().map(|module| (module.as_str(), reached(edges, module))).collect();
    let mut circles: Vec<BTreeSet<&str>> = Vec::new();
    for (module, reached) in &reach {
        let back = |other: &&&str| reach.get(**other).is_some_and(|there| there.contains(module));
        let group: BTreeSet<&str> = reached.iter().filter(back).copied().collect();
        if !group.is_empty() && !circles.contains(&group) {
            circles.push(group);
        }
    }
    circles
}

#[test]
fn there_is_no_circle_between_modules() {
    let sources = workspace();
    let packages: BTreeSet<&str> = sources.iter().map(|source| source.package.as_str()).collect();
    let mut found = Vec::new();
    for package in packages {
        let edges = edges(package, &sources);
        for circle in circles(&edges) {
            let inside = |module: &&String| circle.contains(module.as_str());
            let lines = edges.iter().filter(|(from, _)| inside(from)).flat_map(|(from, to)| {
                let to = to.iter().filter(|(to, _)| inside(to));
                to.map(move |(to, file)| format!("    {from} -> {to} ({file})"))
            });
            found.push(format!("{package}:\n{}", lines.collect::<Vec<_>>().join("\n")));
        }
    }
    assert!(found.is_empty(), "modules that lead back to each other:\n{}", found.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_found_and_a_fork_is_none() {
        let file = |module: &str, text: &str| Source {
            package: "p".to_owned(),
            path: module.into(),
            module: vec![module.to_owned()],
            items: syn::parse_file(text).unwrap(),
        };
        let files = [
            file("a", "use crate::b::B; use crate::c::C;"),
            file("b", "use crate::c::C;"),
            file("c", "fn f() { crate::d::g() }"),
            file("d", "use super::b::B;"),
        ];
        let files: Vec<&Source> = files.iter().collect();
        let edges = edges_of("p", &files);
        assert_eq!(circles(&edges), [BTreeSet::from(["b", "c", "d"])]);
        assert!(circles(&edges_of("p", &files[..3])).is_empty());
    }

    #[test]
    fn the_edges_of_the_core_are_seen() {
        assert!(
            edges("zonemesh-core", &workspace()).values().map(BTreeMap::len).sum::<usize>() > 10
        );
    }
}
