//! Which modules of its own crate a file names: by `use`, and by paths in its code.
//!
//! A path that leads to something that another module hands on (`pub use`) counts as naming the
//! module where it really stands.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::Visit;
use syn::{ItemMod, ItemUse, UseTree, Visibility};

use crate::sources::Source;

/// From the crate's root.
pub(crate) type ModulePath = Vec<String>;

/// The paths from the crate's root that a file names, and those that it only hands on.
#[derive(Default)]
pub(crate) struct Named {
    pub(crate) used: BTreeSet<ModulePath>,
    /// The name under which something can be had here, and where it stands.
    pub(crate) handed_on: BTreeMap<ModulePath, ModulePath>,
}

/// What `source` names.
pub(crate) fn named(source: &Source) -> Named {
    let mut reader = Reader { here: source.module.clone(), named: Named::default() };
    reader.visit_file(&source.items);
    reader.named
}

/// Where `path` leads after all that is handed on; `modules` are those of the crate.
pub(crate) fn resolve(
    path: &ModulePath,
    handed_on: &BTreeMap<ModulePath, ModulePath>,
    modules: &BTreeSet<ModulePath>,
) -> ModulePath {
    let mut path = path.clone();
    // A chain of names that are handed on is short; a circle of them would not compile.
    for _ in 0..8 {
        let step = (1..=path.len()).rev().find_map(|length| {
            handed_on.get(&path[..length]).map(|to| [to.as_slice(), &path[length..]].concat())
        });
        match step {
            Some(next) => path = next,
            None => break,
        }
    }
    while !path.is_empty() && !modules.contains(&path) {
        path.pop();
    }
    path
}

struct Reader {
    here: ModulePath,
    named: Named,
}

impl Reader {
    fn absolute(&self, segments: &[String]) -> Option<ModulePath> {
        let (first, rest) = segments.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([&self.here, rest].concat()),
            "super" => {
                let ups = segments.iter().take_while(|segment| *segment == "super").count();
                let kept = self.here.len().checked_sub(ups)?;
                Some([&self.here[..kept], &segments[ups..]].concat())
            }
            _ => None,
        }
    }

    fn read_tree(&mut self, tree: &UseTree, before: &[String], hands_on: bool) {
        let with = |name: &dyn ToString| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.read_tree(&path.tree, &with(&path.ident), hands_on),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.read_tree(tree, before, hands_on));
            }
            UseTree::Name(name) if name.ident == "self" => self.take(before, None, hands_on),
            UseTree::Name(name) => {
                self.take(&with(&name.ident), Some(name.ident.to_string()), hands_on);
            }
            UseTree::Rename(rename) => {
                self.take(&with(&rename.ident), Some(rename.rename.to_string()), hands_on);
            }
            UseTree::Glob(_) => self.take(before, None, hands_on),
        }
    }

    fn take(&mut self, segments: &[String], name: Option<String>, hands_on: bool) {
        let Some(path) = self.absolute(segments).or_else(|| self.child(segments, hands_on)) else {
            return;
        };
        match name.filter(|_| hands_on) {
            Some(name) => {
                let here = [self.here.as_slice(), &[name]].concat();
                self.named.handed_on.insert(here, path);
            }
            None => {
                self.named.used.insert(path);
            }
        }
    }

    /// `pub use child::Name`: the child is named from where the file stands.
    fn child(&self, segments: &[String], hands_on: bool) -> Option<ModulePath> {
        hands_on.then(|| [self.here.as_slice(), segments].concat())
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let hands_on = !matches!(item.vis, Visibility::Inherited);
        self.read_tree(&item.tree, &[], hands_on);
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        self.here.push(module.ident.to_string());
        syn::visit::visit_item_mod(self, module);
        self.here.pop();
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> =
            path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let Some(path) = self.absolute(&segments) {
            self.named.used.insert(path);
        }
        syn::visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(module: &[&str], text: &str) -> Source {
        Source {
            package: "p".to_owned(),
            path: "p.rs".into(),
            module: module.iter().map(|part| (*part).to_owned()).collect(),
            items: syn::parse_file(text).unwrap(),
        }
    }

    fn path(text: &str) -> ModulePath {
        text.split("::").map(str::to_owned).collect()
    }

    #[test]
    fn use_lines_and_paths_in_code_are_read() {
        let text = "use crate::a::{self, b::C}; use super::d::E as F; fn f() { crate::g::h(); self::i::j() }";
        let named = named(&source(&["m", "n"], text));
        let expected = ["a", "a::b::C", "g::h", "m::d::E", "m::n::i::j"].map(path);
        assert_eq!(named.used, BTreeSet::from(expected));
    }

    #[test]
    fn what_is_handed_on_leads_to_where_it_stands() {
        let root =
            named(&source(&[], "mod a; mod b; pub use a::Name; pub use crate::b::Other as Same;"));
        let modules = BTreeSet::from(["a", "b"].map(path));
        let at = |text: &str| resolve(&path(text), &root.handed_on, &modules);
        assert_eq!(at("Name"), path("a"));
        assert_eq!(at("Same"), path("b"));
        assert_eq!(at("Neither"), ModulePath::new());
    }
}
